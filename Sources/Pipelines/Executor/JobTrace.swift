import Synchronization
import SystemPackage

/// The log of one job, as a file that only grows.
///
/// It is made of sections, one per source of output. Where each began is kept beside it, so that a section whose source can be read
/// again from its start continues after a restart without a gap and without repetition.
package final class JobTrace: Sendable {
    package let path: String
    private let state: Mutex<State>

    private struct State {
        let file: FileDescriptor
        var length: Int
        var sections: [String: Int]
    }

    /// Opens or makes the trace at `path`.
    package init(path: String) throws {
        self.path = path
        let file = try FileDescriptor.open(
            FilePath(path),
            .writeOnly,
            options: [.create, .append, .closeOnExec],
            permissions: [.ownerReadWrite]
        )
        let length = Int(try file.seek(offset: 0, from: .end))
        state = Mutex(State(file: file, length: length, sections: Self.readSections(path)))
    }

    deinit {
        state.withLock { try? $0.file.close() }
    }

    package var length: Int { state.withLock { $0.length } }

    package func append(_ bytes: [UInt8]) throws {
        guard !bytes.isEmpty else { return }
        try state.withLock { state in
            var rest = bytes[...]
            while !rest.isEmpty {
                // A disk that becomes full in the middle keeps a part, which must not be written again.
                let count = try rest.withUnsafeBytes { try state.file.write($0) }
                state.length += count
                rest = rest.dropFirst(count)
            }
        }
    }

    package func append(_ text: String) throws {
        try append(Array(text.utf8))
    }

    func hasSection(_ name: String) -> Bool { state.withLock { $0.sections[name] != nil } }

    /// Writes a section whose text is known, once: a trace that has it already, wholly or in part, gets only what is missing.
    package func appendOnce(_ text: String, section name: String) throws {
        var section = try TraceSection(name, of: self, secrets: [])
        try section.append(Array(text.utf8))
        try section.finish()
    }

    /// Where the section begins: here, when it is new.
    func beginSection(_ name: String) throws -> Int {
        try state.withLock { state in
            if let start = state.sections[name] { return start }
            let file = try FileDescriptor.open(
                FilePath(path + ".sections"),
                .writeOnly,
                options: [.create, .append, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
            _ = try file.closeAfter { try file.writeAll(Array("\(name) \(state.length)\n".utf8)) }
            state.sections[name] = state.length
            return state.length
        }
    }

    /// The bytes of the trace at `path` from `offset`, at most `limit`; empty when there is none.
    package static func read(path: String, offset: Int = 0, limit: Int = TraceFilter.defaultLimit + 4096) -> [UInt8] {
        guard let file = try? FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec) else { return [] }
        let bytes = try? file.closeAfter {
            let size = Int(try file.seek(offset: 0, from: .end))
            let count = max(0, min(limit, size - offset))
            return try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                filled = try file.read(fromAbsoluteOffset: Int64(offset), into: UnsafeMutableRawBufferPointer(buffer))
            }
        }
        return bytes ?? []
    }

    private static func readSections(_ path: String) -> [String: Int] {
        let text = String(decoding: read(path: path + ".sections"), as: UTF8.self)
        return text.split(separator: "\n").reduce(into: [:]) { sections, line in
            let parts = line.split(separator: " ")
            if parts.count == 2, let offset = Int(parts[1]) { sections[String(parts[0])] = offset }
        }
    }
}

/// Writes one section of a trace from its source's first byte, leaving out what the trace already has.
struct TraceSection {
    private let trace: JobTrace
    private var filter: TraceFilter
    private var skipped: Int

    init(_ name: String, of trace: JobTrace, secrets: [String]) throws {
        self.trace = trace
        let start = try trace.beginSection(name)
        filter = TraceFilter(secrets: secrets, length: start)
        skipped = trace.length - start
    }

    mutating func append(_ bytes: [UInt8]) throws {
        try write(filter.append(bytes))
    }

    mutating func finish() throws {
        try write(filter.finish())
    }

    private mutating func write(_ bytes: [UInt8]) throws {
        let known = min(skipped, bytes.count)
        skipped -= known
        try trace.append(Array(bytes.dropFirst(known)))
    }
}
