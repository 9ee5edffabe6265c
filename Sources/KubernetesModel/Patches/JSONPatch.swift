/// JSON patch (RFC 6902): a list of operations that all succeed or change nothing.
package enum JSONPatch {
    /// The most operations in one patch, as in Kubernetes.
    package static let maximumOperations = 10_000

    /// - Throws: 400 for what is no patch, 413 for too many operations, 422 for operations that cannot be done, such as a failed `test`.
    package static func apply(_ patch: JSON, to target: JSON) throws(StatusError) -> JSON {
        guard let operations = patch.array else {
            throw .badRequest("a JSON patch must be an array of operations, not \(patch.typeName)")
        }
        guard operations.count <= maximumOperations else {
            throw StatusError(
                code: 413,
                reason: "RequestEntityTooLarge",
                message:
                    "a JSON patch may have at most \(maximumOperations) operations, this one has \(operations.count)"
            )
        }
        var result = target
        for operation in operations { try apply(operation: operation, to: &result) }
        return result
    }

    // MARK: - Private

    private static func apply(operation: JSON, to document: inout JSON) throws(StatusError) {
        let path = try pointer(operation, "path")
        switch operation["op"]?.string {
        case "add": document = try document.adding(try value(of: operation), at: path[...], path)
        case "remove": document = try document.removing(path[...], path)
        case "replace":
            _ = try document.value(at: path)
            document = try document.replacing(try value(of: operation), at: path[...], path)
        case "move": try move(try pointer(operation, "from"), to: path, in: &document)
        case "copy":
            document = try document.adding(try document.value(at: try pointer(operation, "from")), at: path[...], path)
        case "test":
            guard try document.value(at: path).isSameValue(as: try value(of: operation)) else {
                throw failed("testing value \(text(of: path)) failed")
            }
        case let other: throw .badRequest("a JSON patch has no operation \"\(other ?? "")\"")
        }
    }

    private static func move(
        _ source: [String],
        to target: [String],
        in document: inout JSON
    ) throws(StatusError) {
        guard !(target.count > source.count && target.starts(with: source)) else {
            throw failed("\(text(of: source)) cannot be moved into itself")
        }
        let value = try document.value(at: source)
        document = try document.removing(source[...], source)
        document = try document.adding(value, at: target[...], target)
    }

    private static func value(of operation: JSON) throws(StatusError) -> JSON {
        guard let value = operation["value"] else {
            throw .badRequest("the JSON patch operation \"\(operation["op"]?.string ?? "")\" needs a value")
        }
        return value
    }

    /// Reads a JSON pointer (RFC 6901).
    private static func pointer(_ operation: JSON, _ field: String) throws(StatusError) -> [String] {
        guard let text = operation[field]?.string else {
            throw .badRequest("a JSON patch operation needs the field \"\(field)\"")
        }
        if text.isEmpty { return [] }
        guard text.hasPrefix("/") else { throw .badRequest("the JSON pointer \"\(text)\" must start with '/'") }
        return text.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(unescaped)
    }

    private static func unescaped(_ token: Substring) -> String {
        var result = ""
        var isEscaped = false
        for character in token {
            if isEscaped {
                result += character == "1" ? "/" : character == "0" ? "~" : "~\(character)"
                isEscaped = false
            } else if character == "~" {
                isEscaped = true
            } else {
                result.append(character)
            }
        }
        return isEscaped ? result + "~" : result
    }

    fileprivate static func text(of path: [String]) -> String {
        path.map { "/" + $0 }.joined()
    }

    fileprivate static func failed(_ message: String) -> StatusError {
        StatusError(
            code: 422,
            reason: "Invalid",
            message: "the server rejected our request due to an error in our request: \(message)"
        )
    }
}

extension JSON {
    /// Equal as RFC 6902 §4.6 compares: the order of fields and the form of numbers do not matter.
    package func isSameValue(as other: JSON) -> Bool {
        switch (self, other) {
        case (.object(let left), .object(let right)):
            left.count == right.count
                && left.allSatisfy { name, value in right[name].map(value.isSameValue) ?? false }
        case (.array(let left), .array(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.isSameValue(as: $1) }
        case (.integer(let left), .number(let right)), (.number(let right), .integer(let left)):
            Double(left) == right
        default: self == other
        }
    }

    fileprivate func value(at path: [String]) throws(StatusError) -> JSON {
        var value = self
        for token in path {
            switch value {
            case .object(let fields):
                guard let next = fields[token] else { throw absent(path) }
                value = next
            case .array(let elements):
                guard let index = JSON.index(token, below: elements.count) else { throw absent(path) }
                value = elements[index]
            default: throw absent(path)
            }
        }
        return value
    }

    fileprivate func adding(_ value: JSON, at path: ArraySlice<String>, _ whole: [String]) throws(StatusError) -> JSON {
        try changing(path, whole, adding: value) { parent, token throws(StatusError) in
            switch parent {
            case .object(var fields):
                fields[token] = value
                return .object(fields)
            case .array(var elements):
                guard let index = token == "-" ? elements.count : JSON.index(token, below: elements.count + 1) else {
                    throw absent(whole)
                }
                elements.insert(value, at: index)
                return .array(elements)
            default: throw absent(whole)
            }
        }
    }

    fileprivate func replacing(
        _ value: JSON,
        at path: ArraySlice<String>,
        _ whole: [String]
    ) throws(StatusError) -> JSON {
        try changing(path, whole, adding: value) { parent, token throws(StatusError) in
            try parent.settingChild(token, to: value, whole)
        }
    }

    fileprivate func removing(_ path: ArraySlice<String>, _ whole: [String]) throws(StatusError) -> JSON {
        try changing(path, whole, adding: .null) { parent, token throws(StatusError) in
            switch parent {
            case .object(var fields):
                guard fields.removeValue(forKey: token) != nil else { throw absent(whole) }
                return .object(fields)
            case .array(var elements):
                guard let index = JSON.index(token, below: elements.count) else { throw absent(whole) }
                elements.remove(at: index)
                return .array(elements)
            default: throw absent(whole)
            }
        }
    }

    /// Walks to the parent of the last token and changes it; an empty path means the whole document, which becomes `root`.
    private func changing(
        _ path: ArraySlice<String>,
        _ whole: [String],
        adding root: JSON,
        _ change: (JSON, String) throws(StatusError) -> JSON
    ) throws(StatusError) -> JSON {
        guard let token = path.first else { return root }
        guard path.count > 1 else { return try change(self, token) }
        let child = try value(at: [token])
        let changed = try child.changing(path.dropFirst(), whole, adding: root, change)
        return try settingChild(token, to: changed, whole)
    }

    private func settingChild(_ token: String, to value: JSON, _ whole: [String]) throws(StatusError) -> JSON {
        switch self {
        case .object(var fields):
            fields[token] = value
            return .object(fields)
        case .array(var elements):
            guard let index = JSON.index(token, below: elements.count) else { throw absent(whole) }
            elements[index] = value
            return .array(elements)
        default: throw absent(whole)
        }
    }

    /// Array indices have no sign and no leading zeros (RFC 6901 §4).
    private static func index(_ token: String, below count: Int) -> Int? {
        guard token.utf8.allSatisfy({ (0x30...0x39).contains($0) }), token == "0" || !token.hasPrefix("0"),
            let index = Int(token), index < count
        else { return nil }
        return index
    }

    private func absent(_ path: [String]) -> StatusError {
        JSONPatch.failed("there is nothing at \(JSONPatch.text(of: path))")
    }
}
