/// A DNS message as far as a cluster's name server needs it (RFC 1035, EDNS0 of RFC 6891): one question, answers, one authority record.
package struct DNSMessage: Hashable, Sendable {
    package enum RecordType: Hashable, Sendable {
        case a, cname, ptr, srv, soa, aaaa, opt, any
        case other(UInt16)
    }

    package enum ResponseCode: UInt8, Hashable, Sendable {
        case noError = 0
        case formatError = 1
        case serverFailure = 2
        case nameError = 3
        case notImplemented = 4
        case refused = 5
    }

    package struct Question: Hashable, Sendable {
        /// Labels in lower case, without the root.
        package let name: DNSName
        package let type: RecordType
    }

    package struct Record: Hashable, Sendable {
        package enum Payload: Hashable, Sendable {
            case a(IPv4Address)
            case cname(DNSName)
            case ptr(DNSName)
            case srv(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
            case soa(primary: DNSName, mailbox: DNSName, serial: UInt32, minimum: UInt32)
        }

        package let name: DNSName
        package let timeToLive: UInt32
        package let payload: Payload
    }

    package var id: UInt16
    package var isResponse = false
    package var operation: UInt8 = 0
    package var recursionDesired = true
    package var isAuthoritative = false
    package var isTruncated = false
    package var code = ResponseCode.noError
    package var question: Question
    package var answers: [Record] = []
    package var authority: [Record] = []
    /// The largest answer over UDP that the sender takes; 512 unless EDNS0 says more.
    package var maximumPayload = 512
    package var hasEDNS = false

    package init(id: UInt16, question: Question) {
        self.id = id
        self.question = question
    }
}

/// A domain name: labels in lower case, from the leftmost; the root is empty.
package struct DNSName: Hashable, Sendable, CustomStringConvertible {
    package let labels: [String]

    package init(labels: [String]) { self.labels = labels }

    package init(_ text: String) {
        labels = text.lowercased().split(separator: ".").map(String.init)
    }

    package var description: String { labels.joined(separator: ".") }

    /// The labels before `suffix`, or `nil` when the name does not end in it.
    package func prefix(before suffix: DNSName) -> [String]? {
        guard labels.count >= suffix.labels.count, Array(labels.suffix(suffix.labels.count)) == suffix.labels else {
            return nil
        }
        return Array(labels.dropLast(suffix.labels.count))
    }
}

extension DNSMessage.RecordType {
    package init(code: UInt16) {
        switch code {
        case 1: self = .a
        case 5: self = .cname
        case 6: self = .soa
        case 12: self = .ptr
        case 28: self = .aaaa
        case 33: self = .srv
        case 41: self = .opt
        case 255: self = .any
        default: self = .other(code)
        }
    }

    package var code: UInt16 {
        switch self {
        case .a: 1
        case .cname: 5
        case .soa: 6
        case .ptr: 12
        case .aaaa: 28
        case .srv: 33
        case .opt: 41
        case .any: 255
        case .other(let code): code
        }
    }
}
