package import Foundation
package import Hummingbird
import NIOCore

/// A value that a client sent: JSON, or text of a query or form.
package enum FieldValue: Sendable, Hashable, Decodable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([FieldValue])
    case object([String: FieldValue])

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([FieldValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: FieldValue].self))
        }
    }
}

/// The parameters of an API request, from the query and from a JSON or form body, as GitLab takes them.
///
/// Reading a value of the wrong type throws a 400 that names it.
package struct RequestFields: Sendable {
    private var values: [String: FieldValue]

    package init(_ values: [String: FieldValue] = [:]) {
        self.values = values
    }

    package subscript(name: String) -> FieldValue? { values[name] }
    package var names: [String] { values.keys.sorted() }

    /// Whether a parameter was given, be it null.
    package func has(_ name: String) -> Bool { values[name] != nil }

    package func string(_ name: String) throws -> String? {
        switch values[name] {
        case nil, .null: return nil
        case .string(let text): return text
        case .number(let number):
            return number == number.rounded() && abs(number) < 1e15 ? String(Int(number)) : String(number)
        case .bool(let flag): return String(flag)
        case .array, .object: throw GitLabError.badParameter(name, "is invalid: it must be a text")
        }
    }

    package func required(_ name: String) throws -> String {
        guard let value = try string(name), !value.isEmpty else { throw GitLabError.badParameter(name, "is missing") }
        return value
    }

    package func int(_ name: String) throws -> Int? {
        guard let text = try string(name), !text.isEmpty else { return nil }
        guard let number = Int(text) else {
            throw GitLabError.badParameter(name, "is invalid: it must be a whole number")
        }
        return number
    }

    package func bool(_ name: String) throws -> Bool? {
        switch try string(name)?.lowercased() {
        case nil, "": return nil
        case "true", "1", "yes", "on": return true
        case "false", "0", "no", "off": return false
        default: throw GitLabError.badParameter(name, "is invalid: it must be true or false")
        }
    }

    /// A moment as ISO 8601 writes it, or the start of a day in UTC.
    package func date(_ name: String) throws -> Date? {
        guard let text = try string(name), !text.isEmpty else { return nil }
        let moment = Date.ISO8601FormatStyle()
        let styles = [
            moment, moment.year().month().day().time(includingFractionalSeconds: true).timeZone(separator: .omitted),
            moment.year().month().day(),
        ]
        for style in styles { if let date = try? Date(text, strategy: style) { return date } }
        throw GitLabError.badParameter(name, "is invalid: it must be a time such as 2026-01-31T12:00:00Z")
    }

    /// A list, or one text with commas.
    package func strings(_ name: String) throws -> [String]? {
        switch values[name] {
        case nil, .null: return nil
        case .array(let items):
            return try items.map { item in
                guard case .string(let text) = item else {
                    throw GitLabError.badParameter(name, "is invalid: it must be a list of texts")
                }
                return text
            }
        default:
            return try string(name)?.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }

    /// A list of objects, each readable like the request itself.
    package func objects(_ name: String) throws -> [RequestFields]? {
        guard let value = values[name] else { return nil }
        guard case .array(let items) = value else {
            throw GitLabError.badParameter(name, "is invalid: it must be a list of objects")
        }
        return try items.map { item in
            guard case .object(let members) = item else {
                throw GitLabError.badParameter(name, "is invalid: it must be a list of objects")
            }
            return RequestFields(members)
        }
    }

    /// One of the raw values of a type; the error lists them all.
    package func choice<Value: RawRepresentable & CaseIterable>(_ name: String, of type: Value.Type) throws -> Value?
    where Value.RawValue == String {
        guard let text = try string(name), !text.isEmpty else { return nil }
        guard let value = Value(rawValue: text) else {
            let allowed = type.allCases.map(\.rawValue).joined(separator: ", ")
            throw GitLabError.badParameter(name, "does not have a valid value: it must be one of \(allowed)")
        }
        return value
    }

    // MARK: - Reading a request

    /// Reads the query and, when the request has one, a JSON or form body of at most `bodyLimit` bytes.
    package static func read(_ request: Request, bodyLimit: Int) async throws -> RequestFields {
        var fields = parse(form: request.uri.query ?? "")
        let type = request.headers[.contentType]?.lowercased() ?? ""
        let isForm = type.hasPrefix("application/x-www-form-urlencoded")
        guard isForm || type.hasPrefix("application/json") else { return fields }
        var request = request
        let body: ByteBuffer
        do {
            body = try await request.collectBody(upTo: bodyLimit)
        } catch is NIOTooManyBytesError {
            throw GitLabError(.contentTooLarge, "413 Request Entity Too Large: the body may have \(bodyLimit) bytes")
        }
        guard body.readableBytes > 0 else { return fields }
        let more = isForm ? parse(form: String(buffer: body)) : try parse(json: body)
        fields.values.merge(more.values) { $1 }
        return fields
    }

    private static func parse(json body: ByteBuffer) throws -> RequestFields {
        do {
            return RequestFields(
                try JSONDecoder().decode([String: FieldValue].self, from: Data(body.readableBytesView))
            )
        } catch {
            throw GitLabError(.badRequest, "400 Bad Request: the body is not a JSON object")
        }
    }

    /// Reads `a=1&b[]=2&b[]=3`.
    static func parse(form: String) -> RequestFields {
        var values: [String: FieldValue] = [:]
        for pair in form.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(decode)
            let value = parts.count > 1 ? parts[1] : ""
            guard parts[0].hasSuffix("[]") else {
                values[parts[0]] = .string(value)
                continue
            }
            let name = String(parts[0].dropLast(2))
            if case .array(let items) = values[name] {
                values[name] = .array(items + [.string(value)])
            } else {
                values[name] = .array([.string(value)])
            }
        }
        return RequestFields(values)
    }

    private static func decode(_ text: Substring) -> String {
        let spaced = text.replacingOccurrences(of: "+", with: " ")
        return spaced.removingPercentEncoding ?? spaced
    }
}
