import CLinux
import Glibc

/// WebSockets and other protocols that a request was upgraded to: bytes both ways, until both sides have ended.
extension Worker {
    mutating func openTunnel(
        _ upstream: ConnectionPointer,
        _ client: ConnectionPointer,
        _ head: ByteSpan,
        _ rest: ByteSpan
    ) {
        upstream.pointee.phase = .tunnel
        client.pointee.phase = .tunnel
        timers.set(upstream, deadline: 0, in: slab)
        timers.set(client, deadline: now + configuration.tunnelIdleTimeout, in: slab)
        guard send(head, toClient: client), rest.count == 0 || send(rest, toClient: client) else { return }
        buffers.release(&client.pointee.request)
        if !client.pointee.input.isEmpty {
            // What the client sent ahead stands in its input buffer; from now on that is on its way to the endpoint.
            client.pointee.request = client.pointee.input
            client.pointee.input = Buffer()
        }
        enqueue(client)
    }

    /// Moves what can be moved in both directions.
    mutating func pumpTunnel(_ client: ConnectionPointer) {
        guard client.pointee.phase == .tunnel, client.pointee.peer != Connection.none else { return }
        let upstream = slab[client.pointee.peer]
        if upstream.pointee.hasFailed, upstream.pointee.output.isEmpty, !upstream.pointee.isReadable {
            return closeClient(client)
        }
        noteProgress(client)
        guard pump(from: client, to: upstream, through: &client.pointee.request),
            pump(from: upstream, to: client, through: &client.pointee.output)
        else { return closeClient(client) }
        let clientIsThrough = client.pointee.tunnelEnded && client.pointee.request.isEmpty
        let upstreamIsThrough = upstream.pointee.tunnelEnded && client.pointee.output.isEmpty
        if clientIsThrough && upstreamIsThrough { closeClient(client) }
    }

    /// - Returns: `false` when one side is broken.
    private mutating func pump(
        from source: ConnectionPointer,
        to target: ConnectionPointer,
        through buffer: inout Buffer
    ) -> Bool {
        var rounds = 0
        while true {
            if !buffer.isEmpty {
                guard target.pointee.isWritable else { return true }
                guard let count = write(buffer.bytes, to: target) else { return false }
                buffer.start += Int32(count)
                guard buffer.isEmpty else { return true }
                buffers.release(&buffer)
                if source.pointee.tunnelEnded { endSending(target) }
            }
            guard source.pointee.isReadable, !source.pointee.tunnelEnded else { return true }
            rounds += 1
            if rounds > 16 {
                enqueue(source)
                return true
            }
            let count = receive(source, into: received, size: Self.receiveSize)
            if count == -EAGAIN {
                source.pointee.isReadable = false
                return true
            }
            guard count >= 0 else { return false }
            if count == 0 {
                source.pointee.tunnelEnded = true
                endSending(target)
                return true
            }
            note(count, from: source)
            var bytes = ByteSpan(received, count)
            if let session = target.pointee.session {
                guard let sealed = seal(bytes, target, session) else { return false }
                bytes = sealed
            }
            guard let sent = write(bytes, to: target) else { return false }
            if sent < bytes.count, !buffers.append(bytes.dropFirst(sent), to: &buffer) { return false }
        }
    }

    private func endSending(_ target: ConnectionPointer) {
        sayGoodbye(target)
        _ = clinux_shutdown_sending(target.pointee.descriptor)
    }

    private func note(_ count: Int, from source: ConnectionPointer) {
        if source.pointee.role == .client {
            source.pointee.exchange.requestBytes += UInt64(count)
        } else {
            slab[source.pointee.peer].pointee.exchange.responseBytes += UInt64(count)
        }
    }

    /// The number of bytes that the socket took; `nil` when it is broken.
    private func write(_ bytes: ByteSpan, to target: ConnectionPointer) -> Int? {
        guard target.pointee.isWritable else { return 0 }
        metrics.add(.sendCalls)
        let count = Int(clinux_send(target.pointee.descriptor, bytes.base, bytes.count))
        guard count > 0 || count == -EAGAIN else { return nil }
        if count < bytes.count { target.pointee.isWritable = false }
        return max(0, count)
    }
}
