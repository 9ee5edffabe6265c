import CLinux
import Glibc

/// Asks the system's resolver for the addresses of names, on threads of its own.
struct NameResolver: Sendable {
    /// Names that are asked for at the same time.
    static let maximumConcurrency = 16

    /// The addresses of each name that could be resolved, sorted. Names without an answer by the deadline are left out.
    func resolve(_ names: [String], within deadline: Duration) async -> [String: [String]] {
        await withTaskGroup(of: (String, [String])?.self) { group in
            group.addTask {
                try? await Task.sleep(for: deadline)
                return nil
            }
            var waiting = names[...]
            for _ in 0..<Self.maximumConcurrency { start(&waiting, in: &group) }
            var addresses: [String: [String]] = [:]
            var open = names.count
            while open > 0, let next = await group.next(), let (name, found) = next {
                open -= 1
                if !found.isEmpty { addresses[name] = found }
                start(&waiting, in: &group)
            }
            group.cancelAll()
            return addresses
        }
    }

    private func start(_ names: inout ArraySlice<String>, in group: inout TaskGroup<(String, [String])?>) {
        guard let name = names.popFirst() else { return }
        group.addTask { (name, await Self.addresses(of: name)) }
    }

    /// Gives up waiting when the task is cancelled; the thread ends when the resolver does.
    private static func addresses(of name: String) async -> [String] {
        let (answers, answer) = AsyncStream<[String]>.makeStream(bufferingPolicy: .bufferingNewest(1))
        Task.detached {
            // Not structured: the system's resolver cannot be interrupted.
            answer.yield((try? await blocking { lookUp(name) }) ?? [])
            answer.finish()
        }
        for await found in answers { return found }
        return []
    }

    private static func lookUp(_ name: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var addresses: Set<String> = []
        var next = list
        while let entry = next?.pointee {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let length = socklen_t(text.count)
            if getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, length, nil, 0, NI_NUMERICHOST) == 0 {
                let address = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                if NumericAddress.isValid(address) { addresses.insert(address) }
            }
            next = entry.ai_next
        }
        return addresses.sorted()
    }
}
