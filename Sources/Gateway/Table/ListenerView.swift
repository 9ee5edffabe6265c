/// The listeners of a table laid out for lookup, behind plain pointers; the most specific hostnames come first.
struct ListenerView: BitwiseCopyable {
    let bytes: FlatArray<UInt8>
    let rows: FlatArray<Row>
    let certificates: FlatArray<CertificateRow>

    struct Row: BitwiseCopyable {
        enum Coverage: UInt8 { case exact, below, any }

        /// Stays the same from table to table while the listener's name does.
        var number: UInt32 = 0
        /// The listener's bit in the masks of rules.
        var bit: UInt64 = 0
        /// Zero for the gateway's own.
        var port: UInt16 = 0
        var isTLS = false
        var coverage = Coverage.any
        /// Of ``Coverage/below`` with its leading dot.
        var hostname = ByteRange()
        var certificates = RowRange()
    }

    struct CertificateRow: BitwiseCopyable {
        /// `SSL_CTX` and `X509`, kept alive by the table's ``CompiledListeners``.
        var context: OpaquePointer
        var leaf: OpaquePointer
    }

    /// Where a connection came in.
    struct Door: BitwiseCopyable {
        var port: UInt16 = 0
        /// One of the ports that the gateway was started with.
        var isOwn = false
        var isTLS = false
    }

    @inline(__always) var isEmpty: Bool { rows.count == 0 }

    /// The listener that takes `host`, in any case, at a door. At most ``RouteTable/maximumListeners`` steps.
    func find(_ host: ByteSpan, at door: Door) -> Row? {
        for index in 0..<rows.count {
            let row = rows[index]
            guard row.isTLS == door.isTLS, row.port == door.port || row.port == 0 && door.isOwn else { continue }
            let hostname = ByteSpan(bytes.base + Int(row.hostname.start), Int(row.hostname.count))
            switch row.coverage {
            case .exact: if host.equalsIgnoringCase(lowercased: hostname) { return row }
            case .below:
                let extra = host.count - hostname.count
                if extra > 0, host.dropFirst(extra).equalsIgnoringCase(lowercased: hostname) { return row }
            case .any: return row
            }
        }
        return nil
    }

    func free() {
        bytes.free()
        rows.free()
        certificates.free()
    }
}

/// A ``ListenerView`` and the certificates that it points to. Shared by all tables with the same listeners.
final class CompiledListeners: @unchecked Sendable {
    // Safe to share: everything is written before `init` returns and never changed until `deinit`.

    let source: [RouteTable.Listener]
    let view: ListenerView
    /// The bit of each listener in the masks of rules.
    let bits: [String: UInt64]
    private let contexts: [TLSContext]

    /// - Parameters:
    ///   - number: the number under which connections remember a listener.
    ///   - contexts: what to terminate TLS with, in the order of preference; empty refuses every handshake.
    init(
        _ listeners: [RouteTable.Listener],
        number: (String) -> UInt32,
        contexts: (RouteTable.TLS) -> [TLSContext]
    ) {
        source = listeners
        var builder = Builder()
        for (index, listener) in listeners.prefix(RouteTable.maximumListeners).enumerated() {
            builder.add(
                listener,
                bit: 1 << UInt64(index),
                number: number(listener.name),
                listener.tls.map(contexts) ?? []
            )
        }
        bits = builder.bits
        self.contexts = builder.contexts
        view = builder.finish()
    }

    deinit { view.free() }

    /// For tables whose rules hold everywhere.
    static let none = CompiledListeners([], number: { _ in 0 }, contexts: { _ in [] })

    /// The mask of a rule: every listener when it names none.
    func mask(of names: [String]) -> UInt64 {
        names.isEmpty ? .max : names.reduce(0) { $0 | (bits[$1] ?? 0) }
    }

    private struct Builder {
        var bits: [String: UInt64] = [:]
        var contexts: [TLSContext] = []
        private var bytes: [UInt8] = []
        private var rows: [ListenerView.Row] = []

        mutating func add(_ listener: RouteTable.Listener, bit: UInt64, number: UInt32, _ own: [TLSContext]) {
            bits[listener.name] = bit
            var row = ListenerView.Row()
            row.number = number
            row.bit = bit
            row.port = UInt16(clamping: listener.port)
            row.isTLS = listener.tls != nil
            var hostname = listener.hostname.lowercased()
            if hostname == "*" {
                hostname = ""
            } else if hostname.hasPrefix("*.") {
                hostname.removeFirst()
                row.coverage = .below
            } else {
                row.coverage = .exact
            }
            row.hostname = ByteRange(start: UInt32(bytes.count), count: UInt32(hostname.utf8.count))
            bytes += hostname.utf8
            row.certificates = RowRange(start: UInt32(contexts.count), count: UInt32(own.count))
            contexts += own
            rows.append(row)
        }

        func finish() -> ListenerView {
            let sorted = rows.sorted {
                ($0.coverage.rawValue, $1.hostname.count) < ($1.coverage.rawValue, $0.hostname.count)
            }
            return ListenerView(
                bytes: FlatArray(bytes),
                rows: FlatArray(sorted),
                certificates: FlatArray(
                    contexts.map { ListenerView.CertificateRow(context: $0.context, leaf: $0.leaf) }
                )
            )
        }
    }
}
