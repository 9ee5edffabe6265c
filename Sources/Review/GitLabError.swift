import Foundation
package import HTTPTypes
package import Hummingbird
import NIOCore

/// An error in the shape of GitLab's API: a status and `{"message": …}`.
package struct GitLabError: Error, HTTPResponseError, Sendable, CustomStringConvertible {
    /// The body: one sentence, or sentences by field.
    package enum Message: Sendable, Hashable {
        case text(String)
        case fields([String: [String]])
    }

    package let status: HTTPResponse.Status
    package let message: Message
    package let headers: HTTPFields

    package init(_ status: HTTPResponse.Status, _ text: String, headers: HTTPFields = [:]) {
        self.status = status
        self.message = .text(text)
        self.headers = headers
    }

    package init(_ status: HTTPResponse.Status, fields: [String: [String]]) {
        self.status = status
        self.message = .fields(fields)
        self.headers = [:]
    }

    /// `404 Project Not Found` and the like.
    package static func notFound(_ what: String) -> Self { Self(.notFound, "404 \(what) Not Found") }

    package static let unauthorized = Self(.unauthorized, "401 Unauthorized")

    package static func forbidden(_ why: String? = nil) -> Self {
        Self(.forbidden, why.map { "403 Forbidden - \($0)" } ?? "403 Forbidden")
    }

    /// A parameter that is missing or wrong, in GitLab's form `name is missing`.
    package static func badParameter(_ name: String, _ problem: String) -> Self {
        Self(.badRequest, "\(name) \(problem)")
    }

    /// A value that a rule refuses, by field.
    package static func invalid(_ field: String, _ problem: String) -> Self {
        Self(.badRequest, fields: [field: [problem]])
    }

    package static func conflict(_ text: String) -> Self { Self(.conflict, text) }

    package var description: String {
        switch message {
        case .text(let text): text
        case .fields(let fields):
            fields.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.joined(separator: ", "))" }
                .joined(separator: "; ")
        }
    }

    package func response(from request: Request, context: some RequestContext) throws -> Response {
        let body: Data
        switch message {
        case .text(let text): body = try JSONEncoder().encode(["message": text])
        case .fields(let fields): body = try JSONEncoder().encode(["message": fields])
        }
        var headers = headers
        headers[.contentType] = "application/json"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
    }
}
