/// The parts of a request as people write them, checked before they go over the wire (RFC 9110 §5, §9).
package enum RequestSyntax {
    package static func method(_ text: String) throws -> String {
        guard text.wholeMatch(of: /[A-Z]{1,20}/) != nil, text != "CONNECT" else {
            throw LoadError("'\(text)' is not a method; write one in capital letters, such as GET or POST")
        }
        return text
    }

    package static func header(_ name: String, _ value: String) throws -> (name: String, value: String) {
        guard name.wholeMatch(of: /[A-Za-z0-9!#$%&'*+.^_`|~-]+/) != nil else {
            throw LoadError("'\(name)' is not the name of a header field")
        }
        guard !["content-length", "transfer-encoding", "connection"].contains(name.lowercased()) else {
            throw LoadError("the field '\(name)' is written by the generator itself")
        }
        guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
            throw LoadError("the field '\(name)' has control characters in its value")
        }
        return (name, value)
    }

    /// `Name: value`
    package static func header(_ line: String) throws -> (name: String, value: String) {
        let parts = line.split(separator: ":", maxSplits: 1)
        guard parts.count == 2 else { throw LoadError("'\(line)' is not a header field; write 'Name: value'") }
        return try header(String(parts[0]), String(parts[1].drop { $0 == " " }))
    }

    /// A path, or several: `/item/{1..1000}` stands for a path for each number.
    package static func paths(_ text: String) throws -> [String] {
        guard text.hasPrefix("/"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw LoadError("'\(text)' is not a path; it must begin with '/' and be percent-encoded")
        }
        guard let range = text.firstMatch(of: /\{([0-9]{1,9})\.\.([0-9]{1,9})\}/) else { return [text] }
        let (low, high) = (Int(range.1) ?? 0, Int(range.2) ?? 0)
        guard low <= high, high - low < TrafficClass.maximumPaths else {
            throw LoadError("'\(text)' must count upwards and stand for at most \(TrafficClass.maximumPaths) paths")
        }
        return (low...high).map { text.replacingCharacters(in: range.range, with: String($0)) }
    }
}

extension String {
    fileprivate func replacingCharacters(in range: Range<String.Index>, with text: String) -> String {
        String(self[..<range.lowerBound]) + text + String(self[range.upperBound...])
    }
}
