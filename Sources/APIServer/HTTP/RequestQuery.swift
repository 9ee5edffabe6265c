import Foundation
import KubernetesClient
import KubernetesModel

/// The parameters behind the question mark.
struct RequestQuery {
    private var values: [String: [String]] = [:]

    init(_ text: String?) {
        for pair in (text ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? Self.decoded(parts[1]) : ""
            values[Self.decoded(parts[0]), default: []].append(value)
        }
    }

    subscript(name: String) -> String? { values[name]?.first }

    func all(_ name: String) -> [String] { values[name] ?? [] }

    func bool(_ name: String) -> Bool { ["true", "1"].contains(self[name] ?? "") }

    /// - Throws: 400 when there is a value that is no whole number of zero or more.
    func int(_ name: String) throws -> Int? {
        guard let text = self[name], !text.isEmpty else { return nil }
        guard let value = Int(text), value >= 0 else {
            throw StatusError.badRequest("the query parameter \(name) must be a whole number, not \"\(text)\"")
        }
        return value
    }

    private static func decoded(_ text: Substring) -> String {
        let text = text.contains("+") ? String(text.map { $0 == "+" ? " " : $0 }) : String(text)
        return text.removingPercentEncoding ?? text
    }
}

// MARK: - Options

extension RequestQuery {
    func listOptions() throws -> ListOptions {
        ListOptions(
            labelSelector: self["labelSelector"] ?? "",
            fieldSelector: self["fieldSelector"] ?? "",
            resourceVersion: self["resourceVersion"] ?? "",
            limit: try int("limit"),
            continueToken: self["continue"] ?? ""
        )
    }

    /// - Parameter userAgent: Names the manager of the written fields when the query does not.
    func writeOptions(userAgent: String?) throws -> WriteOptions {
        let validation = self["fieldValidation"] ?? ""
        guard ["", "Ignore", "Warn", "Strict"].contains(validation) else {
            throw StatusError.badRequest("fieldValidation must be Ignore, Warn or Strict, not \"\(validation)\"")
        }
        let agent = userAgent?.split(separator: "/").first.map { String($0.prefix(128)) }
        return WriteOptions(
            fieldManager: self["fieldManager"].flatMap { $0.isEmpty ? nil : $0 } ?? agent ?? "unknown",
            force: bool("force"),
            isDryRun: try isDryRun(),
            fieldValidation: validation.isEmpty ? "Warn" : validation
        )
    }

    func isDryRun() throws -> Bool {
        let values = all("dryRun")
        guard values.allSatisfy({ $0 == "All" }) else {
            throw StatusError.badRequest("dryRun must be All, not \"\(values.joined(separator: ","))\"")
        }
        return !values.isEmpty
    }

    /// The options of a deletion: the body's, else the query's.
    func deleteOptions(_ body: JSON?) throws -> DeleteOptions {
        if let body { return try DeleteOptions(body) }
        var options: JSON = [:]
        options["gracePeriodSeconds"] = try int("gracePeriodSeconds").map { JSON($0) }
        options["propagationPolicy"] = self["propagationPolicy"].map { .string($0) }
        return try DeleteOptions(options)
    }

    func logOptions() throws -> LogOptions {
        var options = LogOptions(
            container: self["container"] ?? "",
            follow: bool("follow"),
            previous: bool("previous"),
            tailLines: try int("tailLines")
        )
        options.timestamps = bool("timestamps")
        options.sinceSeconds = try int("sinceSeconds")
        options.sinceTime = self["sinceTime"]
        options.limitBytes = try int("limitBytes")
        return options
    }

    func execRequest() -> ExecRequest {
        ExecRequest(
            container: self["container"] ?? "",
            command: all("command"),
            stdin: bool("stdin"),
            stdout: bool("stdout"),
            stderr: bool("stderr"),
            tty: bool("tty")
        )
    }
}
