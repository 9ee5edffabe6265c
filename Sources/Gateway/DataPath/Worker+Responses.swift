import CLinux
import Glibc

/// The answer's way from the endpoint to the client.
extension Worker {
    mutating func readResponse(_ upstream: ConnectionPointer) {
        let token = ConnectionSlab.token(upstream)
        var rounds = 0
        while upstream.pointee.isReadable {
            let client = slab[upstream.pointee.peer]
            guard client.pointee.output.isEmpty else { return }  // goes on when the client has taken it
            if client.pointee.exchange.hasResponseHead {
                readBody(upstream, client)
            } else {
                readHead(upstream, client)
            }
            guard slab.find(token: token) != nil, upstream.pointee.phase == .active else { return }
            rounds += 1
            if rounds == 16 { return enqueue(upstream) }
        }
    }

    // MARK: - Head

    private mutating func readHead(_ upstream: ConnectionPointer, _ client: ConnectionPointer) {
        guard !upstream.pointee.input.isEmpty else {
            let count = receive(upstream, into: received + Self.headroom, size: Self.receiveSize)
            guard count > 0 else { return upstreamEnded(upstream, count) }
            return takeHead(upstream, client, received + Self.headroom, count)
        }
        guard buffers.reserve(4096, in: &upstream.pointee.input) else { return answerRefused(upstream) }
        let room = min(upstream.pointee.input.room, Self.receiveSize - upstream.pointee.input.count)
        let count = receive(upstream, into: upstream.pointee.input.tail, size: room)
        guard count > 0 else { return upstreamEnded(upstream, count) }
        upstream.pointee.input.end += Int32(count)
        // Back into the shared buffer, so that a body behind the head is treated alike wherever the head was cut.
        let bytes = upstream.pointee.input.bytes
        memcpy(received + Self.headroom, bytes.base, bytes.count)
        buffers.release(&upstream.pointee.input)
        takeHead(upstream, client, received + Self.headroom, bytes.count)
    }

    /// Reads interim answers and the final one's head; `bytes` stand in the shared buffer.
    private mutating func takeHead(
        _ upstream: ConnectionPointer,
        _ client: ConnectionPointer,
        _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) {
        let token = ConnectionSlab.token(upstream)
        var position = 0
        while position < count {
            let rest = ByteSpan(bytes + position, count - position)
            guard let length = FieldParser.headLength(of: rest) else {
                guard rest.count <= FieldParser.maximumHead else { return answerRefused(upstream) }
                _ = buffers.append(rest, to: &upstream.pointee.input)
                return
            }
            let head = ByteSpan(rest.base, length)
            let isHead = client.pointee.exchange.isHead
            guard length <= FieldParser.maximumHead,
                let response = try? ResponseHead.parse(head, toHead: isHead, into: fields)
            else { return answerRefused(upstream) }
            position += length
            if response.status == 101 || response.status >= 200 {
                return takeFinalHead(upstream, client, response, head, bytes + position, count - position)
            }
            forwardInterim(client, response, head)
            guard slab.find(token: token) != nil else { return }
        }
    }

    /// RFC 9110 §15.2: interim answers go on, but not to HTTP/1.0 clients.
    private mutating func forwardInterim(_ client: ConnectionPointer, _ response: ResponseHead, _ head: ByteSpan) {
        guard !client.pointee.exchange.isHTTP10 else { return }
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        transcode(client, response, head, closes: false, to: &writer)
        _ = send(writer.bytes, toClient: client)
    }

    private func transcode(
        _ client: ConnectionPointer,
        _ response: ResponseHead,
        _ head: ByteSpan,
        closes: Bool,
        to writer: inout HeadWriter
    ) {
        let exchange = client.pointee.exchange
        let view = topology.tables[exchange.table].pointee.view!
        ResponseTranscoder(
            response: response,
            head: head,
            fields: fields,
            view: view,
            changes: response.status < 200 ? RowRange() : view.rules[Int(exchange.rule)].responseChanges,
            added: client.pointee.added.isEmpty ? .empty : client.pointee.added.bytes,
            delivery: exchange.delivery,
            isHTTP10: exchange.isHTTP10,
            closes: closes
        ).write(to: &writer)
    }

    private mutating func takeFinalHead(
        _ upstream: ConnectionPointer,
        _ client: ConnectionPointer,
        _ response: ResponseHead,
        _ head: ByteSpan,
        _ rest: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) {
        if response.status == 101, !client.pointee.exchange.wantsUpgrade { return answerRefused(upstream) }
        noteAnswer(of: upstream, client, status: response.status)
        if retriesStatus(upstream, client, response, ByteSpan(rest, count)) { return }
        client.pointee.exchange.hasResponseHead = true
        client.pointee.exchange.error = .none
        disarmTry(upstream, client)
        client.pointee.exchange.status = UInt16(response.status)
        if client.pointee.exchange.admission.holds != 0 { noteAnswer(client) }
        upstream.pointee.response = response.body
        upstream.pointee.keepsAlive = response.wantsKeepAlive && response.body.kind != .untilClose
        chooseDelivery(client, response)
        // Whole requests are no longer needed once an answer is there.
        if client.pointee.request.isEmpty, client.pointee.exchange.isIntact {
            client.pointee.exchange.isIntact = false
            buffers.release(&client.pointee.request)
        }
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        transcode(client, response, head, closes: client.pointee.closesAfterResponse || isStopping, to: &writer)
        if writer.hasOverflowed { return closeClient(client) }
        if response.status == 101 { return openTunnel(upstream, client, writer.bytes, ByteSpan(rest, count)) }
        deliver(upstream, client, rest, count, after: &writer)
    }

    private func chooseDelivery(_ client: ConnectionPointer, _ response: ResponseHead) {
        let isHTTP10 = client.pointee.exchange.isHTTP10
        switch response.body.kind {
        case .untilClose where !isHTTP10: client.pointee.exchange.delivery = .chunking
        case .untilClose: client.pointee.closesAfterResponse = true
        case .chunked where isHTTP10:
            client.pointee.exchange.delivery = .dechunking
            client.pointee.closesAfterResponse = true
        default: break
        }
    }

    // MARK: - Body

    private mutating func readBody(_ upstream: ConnectionPointer, _ client: ConnectionPointer) {
        let count = receive(upstream, into: received + Self.headroom, size: Self.receiveSize)
        guard count > 0 else { return upstreamEnded(upstream, count) }
        noteProgress(client)
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        deliver(upstream, client, received + Self.headroom, count, after: &writer)
    }

    /// Sends a piece of the body, with the head before it when `writer` holds one. `bytes` stand in the shared buffer with
    /// ``headroom`` on both sides.
    private mutating func deliver(
        _ upstream: ConnectionPointer,
        _ client: ConnectionPointer,
        _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int,
        after writer: inout HeadWriter
    ) {
        guard let piece = frame(upstream, client, bytes, count) else { return answerRefused(upstream) }
        if writer.count > 0, piece.count <= Self.scratchSize - writer.count {
            writer.append(piece)
            guard send(writer.bytes, toClient: client) else { return }
        } else {
            if writer.count > 0 { guard send(writer.bytes, toClient: client) else { return } }
            if piece.count > 0 { guard send(piece, toClient: client) else { return } }
        }
        if upstream.pointee.response.isComplete { answerComplete(upstream, client) }
    }

    /// The part of the bytes that belongs to the body, framed for the client; `nil` when the framing is broken.
    private func frame(
        _ upstream: ConnectionPointer,
        _ client: ConnectionPointer,
        _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) -> ByteSpan? {
        if client.pointee.exchange.delivery == .dechunking {
            guard let progress = try? upstream.pointee.response.decode(bytes, count) else { return nil }
            if progress.consumed < count { upstream.pointee.keepsAlive = false }
            client.pointee.exchange.responseBytes += UInt64(progress.produced)
            return ByteSpan(bytes, progress.produced)
        }
        guard let taken = try? upstream.pointee.response.consume(ByteSpan(bytes, count)) else { return nil }
        // Bytes behind the answer belong to nobody: that connection is not to be trusted again.
        if taken < count { upstream.pointee.keepsAlive = false }
        client.pointee.exchange.responseBytes += UInt64(taken)
        guard client.pointee.exchange.delivery == .chunking, taken > 0 else { return ByteSpan(bytes, taken) }
        return chunk(bytes, taken)
    }

    /// Puts a size line before the bytes and a line end behind them, in the room that the shared buffer leaves. The head before the
    /// bytes may be overwritten: it was transcoded already.
    private func chunk(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> ByteSpan {
        var digits = 1
        while count >> (digits * 4) > 0 { digits += 1 }
        let start = bytes - digits - 2
        var writer = HeadWriter(start, capacity: digits + 2)
        writer.append(hexadecimal: UInt64(count), digits: digits)
        writer.append("\r\n")
        bytes[count] = ASCII.cr
        bytes[count + 1] = ASCII.lf
        return ByteSpan(start, digits + 2 + count + 2)
    }

    private mutating func answerComplete(_ upstream: ConnectionPointer, _ client: ConnectionPointer) {
        releaseUpstream(upstream, client)
        responseFinished(client)
    }

    // MARK: - Ends

    private mutating func upstreamEnded(_ upstream: ConnectionPointer, _ count: Int) {
        if count == -EAGAIN {
            upstream.pointee.isReadable = false
            return
        }
        let client = slab[upstream.pointee.peer]
        guard client.pointee.exchange.hasResponseHead else {
            return upstream.pointee.input.isEmpty
                ? retryOrFail(upstream, .connectionTerminated) : answerRefused(upstream)
        }
        guard count == 0, upstream.pointee.response.kind == .untilClose else {
            client.pointee.exchange.error = .httpResponseIncomplete
            return closeClient(client)
        }
        if client.pointee.exchange.delivery == .chunking {
            let last: StaticString = "0\r\n\r\n"
            guard send(ByteSpan(last.utf8Start, last.utf8CodeUnitCount), toClient: client) else { return }
        }
        upstream.pointee.keepsAlive = false
        answerComplete(upstream, client)
    }

    /// The endpoint does not speak proper HTTP: 502, or the client sees its answer cut off.
    private mutating func answerRefused(_ upstream: ConnectionPointer) {
        let client = slab[upstream.pointee.peer]
        metrics.add(.upstreamFailures)
        client.pointee.exchange.error = .httpProtocolError
        noteFailure(of: upstream, client, .resets)
        guard !client.pointee.exchange.hasResponseHead || !client.pointee.exchange.hasAnswered else {
            return closeClient(client)
        }
        dropUpstream(upstream)
        respond(client, .protocolError)
    }
}
