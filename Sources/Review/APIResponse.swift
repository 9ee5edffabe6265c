package import Foundation
package import HTTPTypes
package import Hummingbird
import NIOCore

/// A JSON answer: snake_case names, times as `2026-01-31T12:00:00.000Z`.
package struct APIResponse<Body: Encodable & Sendable>: ResponseGenerator, Sendable {
    private let body: Body
    private let status: HTTPResponse.Status
    private let headers: HTTPFields

    package init(_ body: Body, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) {
        self.body = body
        self.status = status
        self.headers = headers
    }

    package func response(from request: Request, context: some RequestContext) throws -> Response {
        try plainResponse()
    }

    /// The answer without a request at hand.
    package func plainResponse() throws -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        let bytes = ByteBuffer(bytes: try APIEncoder.encode(body))
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: bytes))
    }
}

/// Writes values as the API shows them.
package enum APIEncoder {
    package static func encode(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(timestamp(date))
        }
        return try encoder.encode(value)
    }

    /// `2026-01-31T12:00:00.000Z`
    package static func timestamp(_ date: Date) -> String {
        date.formatted(
            .iso8601.dateTimeSeparator(.standard).year().month().day().time(includingFractionalSeconds: true)
        ) + "Z"
    }
}

/// Which page of a list a client wants: `page` from 1, `per_page` 1...100, 20 when not said.
package struct Page: Sendable, Hashable {
    package let number: Int
    package let size: Int

    package init(number: Int = 1, size: Int = 20) {
        self.number = max(number, 1)
        self.size = min(max(size, 1), 100)
    }

    package init(_ fields: RequestFields) throws {
        self.init(number: try fields.int("page") ?? 1, size: try fields.int("per_page") ?? 20)
    }

    /// How many elements come before the page.
    package var offset: Int {
        let (product, overflow) = (number - 1).multipliedReportingOverflow(by: size)
        return overflow ? Int.max : product
    }

    /// The elements on this page of a whole list.
    package func slice<Element>(_ elements: [Element]) -> [Element] {
        guard offset < elements.count else { return [] }
        return Array(elements[offset..<min(offset + size, elements.count)])
    }

    /// GitLab's paging headers, with a `Link` to the neighbours.
    package func headers(total: Int, request: Request, externalURL: String) -> HTTPFields {
        let last = max((total + size - 1) / size, 1)
        var headers: HTTPFields = [:]
        headers[.init("X-Page")!] = String(number)
        headers[.init("X-Per-Page")!] = String(size)
        headers[.init("X-Total")!] = String(total)
        headers[.init("X-Total-Pages")!] = String(last)
        headers[.init("X-Next-Page")!] = number < last ? String(number + 1) : ""
        headers[.init("X-Prev-Page")!] = number > 1 ? String(number - 1) : ""
        var links: [String] = []
        func link(_ page: Int, _ relation: String) {
            links.append("<\(url(page, request, externalURL))>; rel=\"\(relation)\"")
        }
        if number > 1 { link(number - 1, "prev") }
        if number < last { link(number + 1, "next") }
        link(1, "first")
        link(last, "last")
        headers[.init("Link")!] = links.joined(separator: ", ")
        return headers
    }

    private func url(_ page: Int, _ request: Request, _ externalURL: String) -> String {
        let secret = ["page", "per_page", "private_token", "access_token", "job_token"]
        let kept = (request.uri.query ?? "").split(separator: "&").filter { pair in
            !secret.contains(String(pair.prefix { $0 != "=" }))
        }
        let query = (kept + ["page=\(page)", "per_page=\(size)"]).joined(separator: "&")
        return "\(externalURL)\(request.uri.path)?\(query)"
    }
}

extension APICall {
    /// A page of a whole list, with GitLab's paging headers.
    package func page<Element, Item: Encodable & Sendable>(
        _ elements: [Element],
        _ transform: (Element) throws -> Item
    ) throws -> APIResponse<[Item]> {
        let page = try Page(fields)
        let url = forge.configuration.externalURL
        let headers = page.headers(total: elements.count, request: request, externalURL: url)
        return APIResponse(try page.slice(elements).map(transform), headers: headers)
    }
}
