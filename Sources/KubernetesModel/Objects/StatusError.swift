/// A failed API request in the shape of the wire: the Kubernetes `Status` object.
///
/// Thrown by the API server, by every client and by whoever stands in for them in tests; encoded in one place.
package struct StatusError: Error, Equatable, CustomStringConvertible {
    /// The HTTP status code.
    package var code: Int
    /// The machine-readable reason, such as `NotFound`; see `Reason`.
    package var reason: String
    package var message: String
    /// The `details` field: name, group, kind, causes, retryAfterSeconds.
    package var details: JSON?

    package init(code: Int, reason: String, message: String, details: JSON? = nil) {
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
    }

    package var description: String { message }

    package var isNotFound: Bool { code == 404 }
    package var isConflict: Bool { reason == "Conflict" }
    package var isAlreadyExists: Bool { reason == "AlreadyExists" }
    /// The requested resource version is no longer kept: list again.
    package var isExpired: Bool { code == 410 }
}

// MARK: - The usual ones

extension StatusError {
    package static func notFound(_ resource: Resource, _ name: String) -> StatusError {
        StatusError(
            code: 404,
            reason: "NotFound",
            message: "\(resource.qualifiedName) \"\(name)\" not found",
            details: details(resource, name)
        )
    }

    package static func alreadyExists(_ resource: Resource, _ name: String) -> StatusError {
        StatusError(
            code: 409,
            reason: "AlreadyExists",
            message: "\(resource.qualifiedName) \"\(name)\" already exists",
            details: details(resource, name)
        )
    }

    package static func conflict(_ resource: Resource, _ name: String, _ why: String) -> StatusError {
        StatusError(
            code: 409,
            reason: "Conflict",
            message: "Operation cannot be fulfilled on \(resource.qualifiedName) \"\(name)\": \(why)",
            details: details(resource, name)
        )
    }

    /// The object was changed since the resource version that the request names.
    package static func modified(_ resource: Resource, _ name: String) -> StatusError {
        conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again"
        )
    }

    package static func badRequest(_ message: String) -> StatusError {
        StatusError(code: 400, reason: "BadRequest", message: message)
    }

    package static func unauthorized(_ message: String = "Unauthorized") -> StatusError {
        StatusError(code: 401, reason: "Unauthorized", message: message)
    }

    package static func forbidden(_ message: String) -> StatusError {
        StatusError(code: 403, reason: "Forbidden", message: message)
    }

    package static func methodNotAllowed(_ message: String) -> StatusError {
        StatusError(code: 405, reason: "MethodNotAllowed", message: message)
    }

    package static func expired(_ message: String) -> StatusError {
        StatusError(code: 410, reason: "Expired", message: message)
    }

    package static func unsupportedMediaType(_ message: String) -> StatusError {
        StatusError(code: 415, reason: "UnsupportedMediaType", message: message)
    }

    package static func internalError(_ message: String) -> StatusError {
        StatusError(code: 500, reason: "InternalError", message: message)
    }

    package static func unavailable(_ message: String) -> StatusError {
        StatusError(code: 503, reason: "ServiceUnavailable", message: message)
    }

    private static func details(_ resource: Resource, _ name: String) -> JSON {
        ["name": .string(name), "group": .string(resource.group), "kind": .string(resource.plural)]
    }
}

// MARK: - The wire

extension StatusError {
    /// The `Status` object that a response carries.
    package var json: JSON {
        var status: JSON = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .string(message),
            "reason": .string(reason),
        ]
        status["details"] = details
        status["code"] = JSON(code)
        return status
    }

    /// The error that a response of status `code` with `body` stands for; bodies that are no `Status` become the message.
    package init(code: Int, body: [UInt8]) {
        let status = try? JSON(parsing: body)
        self.init(
            code: status?["code"]?.int ?? code,
            reason: status?["reason"]?.string ?? "",
            message: status?["message"]?.string
                ?? "the server answered \(code): \(String(decoding: body.prefix(512), as: UTF8.self))",
            details: status?["details"]
        )
    }
}
