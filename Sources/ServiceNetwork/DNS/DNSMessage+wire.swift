/// The datagram cannot be a DNS query that this server answers.
package struct DNSFormatError: Error, Equatable {
    /// The query's id where at least that could be read, so that the sender can be told.
    package let id: UInt16?
}

extension DNSMessage {
    /// Reads a query; anything but exactly one question of class IN is a format error.
    package init(parsing bytes: [UInt8]) throws(DNSFormatError) {
        var reader = DNSReader(bytes: bytes)
        guard let id = reader.readUInt16() else { throw DNSFormatError(id: nil) }
        guard let flags = reader.readUInt16(), let questions = reader.readUInt16(), let answers = reader.readUInt16(),
            let authorities = reader.readUInt16(), let additional = reader.readUInt16(),
            questions == 1, flags & 0x8000 == 0, let name = reader.readName(), let type = reader.readUInt16(),
            let recordClass = reader.readUInt16(), recordClass == 1 || recordClass == 255
        else { throw DNSFormatError(id: id) }
        self.init(id: id, question: Question(name: name, type: RecordType(code: type)))
        operation = UInt8(flags >> 11 & 0xF)
        recursionDesired = flags & 0x0100 != 0
        for _ in 0..<(Int(answers) + Int(authorities) + Int(additional)) {
            guard let record = reader.readRecord() else { throw DNSFormatError(id: id) }
            if record.type == RecordType.opt.code {
                hasEDNS = true
                maximumPayload = max(512, Int(record.recordClass))
            }
        }
    }

    /// The addresses among the answers of a response from another server; none when it cannot be read.
    static func addresses(inResponse bytes: [UInt8]) -> [IPv4Address] {
        var reader = DNSReader(bytes: bytes)
        guard reader.readUInt16() != nil, reader.readUInt16() != nil, reader.readUInt16() == 1,
            let count = reader.readUInt16(), reader.readUInt16() != nil, reader.readUInt16() != nil,
            reader.readName() != nil, reader.readUInt16() != nil, reader.readUInt16() != nil
        else { return [] }
        return (0..<count).compactMap { _ in
            guard let record = reader.readRecord(), record.type == RecordType.a.code, record.payload.count == 4 else {
                return nil
            }
            return IPv4Address(record.payload.reduce(0) { $0 << 8 | UInt32($1) })
        }
    }

    /// The message as bytes, cut to `limit` with the truncation flag where it is longer.
    package func encoded(limit: Int) -> [UInt8] {
        let whole = encoded(answers: answers, isTruncated: isTruncated)
        guard whole.count > limit else { return whole }
        return encoded(answers: [], isTruncated: true)
    }

    private func encoded(answers: [Record], isTruncated: Bool) -> [UInt8] {
        var writer = DNSWriter()
        writer.write(id)
        writer.write(flags(isTruncated: isTruncated))
        writer.write(UInt16(1))
        writer.write(UInt16(answers.count))
        writer.write(UInt16(authority.count))
        writer.write(UInt16(hasEDNS ? 1 : 0))
        writer.write(question.name)
        writer.write(question.type.code)
        writer.write(UInt16(1))
        for record in answers + authority { writer.write(record) }
        if hasEDNS {
            writer.bytes.append(0)
            writer.write(RecordType.opt.code)
            writer.write(UInt16(1232))
            writer.write(UInt32(0))
            writer.write(UInt16(0))
        }
        return writer.bytes
    }

    private func flags(isTruncated: Bool) -> UInt16 {
        var flags = UInt16(operation) << 11 | UInt16(code.rawValue)
        if isResponse { flags |= 0x8000 }
        if isAuthoritative { flags |= 0x0400 }
        if isTruncated { flags |= 0x0200 }
        if recursionDesired { flags |= 0x0100 }
        if isResponse { flags |= 0x0080 }
        return flags
    }
}

private struct DNSReader {
    let bytes: [UInt8]
    var position = 0

    mutating func readUInt8() -> UInt8? {
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func readUInt16() -> UInt16? {
        guard let high = readUInt8(), let low = readUInt8() else { return nil }
        return UInt16(high) << 8 | UInt16(low)
    }

    mutating func readName() -> DNSName? {
        var labels: [String] = []
        var total = 0
        var end: Int?
        var jumps = 0
        while let length = readUInt8() {
            switch length {
            case 0:
                if let end { position = end }
                return DNSName(labels: labels)
            case 1...63:
                total += Int(length) + 1
                guard total <= 254, position + Int(length) <= bytes.count else { return nil }
                labels.append(String(decoding: bytes[position..<position + Int(length)], as: UTF8.self).lowercased())
                position += Int(length)
            case 0xC0...0xFF:
                guard let low = readUInt8(), jumps < 16 else { return nil }
                jumps += 1
                if end == nil { end = position }
                position = Int(length & 0x3F) << 8 | Int(low)
            default: return nil
            }
        }
        return nil
    }

    struct RecordHead {
        let type: UInt16
        let recordClass: UInt16
        let payload: ArraySlice<UInt8>
    }

    mutating func readRecord() -> RecordHead? {
        guard readName() != nil, let type = readUInt16(), let recordClass = readUInt16(), readUInt16() != nil,
            readUInt16() != nil, let length = readUInt16(), position + Int(length) <= bytes.count
        else { return nil }
        defer { position += Int(length) }
        return RecordHead(type: type, recordClass: recordClass, payload: bytes[position..<position + Int(length)])
    }
}

private struct DNSWriter {
    var bytes: [UInt8] = []
    private var offsets: [DNSName: Int] = [:]

    mutating func write(_ value: UInt16) {
        bytes.append(UInt8(value >> 8))
        bytes.append(UInt8(truncatingIfNeeded: value))
    }

    mutating func write(_ value: UInt32) {
        write(UInt16(value >> 16))
        write(UInt16(truncatingIfNeeded: value))
    }

    /// Whole names that were written before are pointed to, which is all the compression that these answers need.
    mutating func write(_ name: DNSName) {
        if let offset = offsets[name], offset < 0x4000 {
            write(UInt16(0xC000 | offset))
            return
        }
        offsets[name] = bytes.count
        for label in name.labels {
            let text = Array(label.utf8.prefix(63))
            bytes.append(UInt8(text.count))
            bytes.append(contentsOf: text)
        }
        bytes.append(0)
    }

    mutating func write(_ record: DNSMessage.Record) {
        write(record.name)
        write(record.payload.type.code)
        write(UInt16(1))
        write(record.timeToLive)
        let lengthPosition = bytes.count
        write(UInt16(0))
        writePayload(record.payload)
        let length = bytes.count - lengthPosition - 2
        bytes[lengthPosition] = UInt8(length >> 8)
        bytes[lengthPosition + 1] = UInt8(truncatingIfNeeded: length)
    }

    private mutating func writePayload(_ payload: DNSMessage.Record.Payload) {
        switch payload {
        case .a(let address): bytes.append(contentsOf: address.bytes)
        case .ptr(let name), .cname(let name): write(name)
        case .srv(let priority, let weight, let port, let target):
            write(priority)
            write(weight)
            write(port)
            // RFC 2782: the target is never compressed.
            for label in target.labels {
                bytes.append(UInt8(label.utf8.count))
                bytes.append(contentsOf: label.utf8)
            }
            bytes.append(0)
        case .soa(let primary, let mailbox, let serial, let minimum):
            write(primary)
            write(mailbox)
            for value in [serial, 7200, 1800, 86400, minimum] { write(value) }
        }
    }
}

extension DNSMessage.Record.Payload {
    package var type: DNSMessage.RecordType {
        switch self {
        case .a: .a
        case .cname: .cname
        case .ptr: .ptr
        case .srv: .srv
        case .soa: .soa
        }
    }
}
