import NIOCore

/// Answers HTTP/2 PINGs below the HTTP/2 stack of a plaintext client.
///
/// Servers written with grpc-go send a PING with nearly every answer to measure bandwidth. The HTTP/2 stack above counts them as abuse
/// and closes the connection after 200 in 30 seconds, without an option to raise that. This handler splits the inbound bytes into
/// frames (RFC 9113 §4.1), answers PINGs (§6.7) and passes everything else on unchanged.
final class PingAnswering: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var splitter = FrameSplitter()

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let (forwarded, answers) = splitter.receive(unwrapInboundIn(data))
        if answers.readableBytes > 0 {
            context.writeAndFlush(wrapOutboundOut(answers), promise: nil)
        }
        if forwarded.readableBytes > 0 {
            context.fireChannelRead(wrapInboundOut(forwarded))
        }
    }
}

/// Takes PING frames out of a stream of HTTP/2 frames. Holds at most 17 bytes between calls.
struct FrameSplitter {
    private static let headerLength = 9
    private static let pingType: UInt8 = 0x6
    private static let acknowledgement: UInt8 = 0x1

    private var pending = ByteBuffer()
    /// Bytes of a frame that is being passed on and has not ended.
    private var remaining = 0

    /// The bytes to pass on, and the acknowledgements to send back.
    mutating func receive(_ bytes: ByteBuffer) -> (forwarded: ByteBuffer, answers: ByteBuffer) {
        var input = pending
        input.writeImmutableBuffer(bytes)
        var forwarded = ByteBuffer()
        var answers = ByteBuffer()
        while input.readableBytes > 0 {
            if remaining > 0 {
                forward(min(remaining, input.readableBytes), from: &input, to: &forwarded)
                continue
            }
            guard let header = Header(input) else { break }
            guard header.isPingRequest else {
                remaining = Self.headerLength + header.length
                continue
            }
            guard input.readableBytes >= Self.headerLength + header.length else { break }
            input.moveReaderIndex(forwardBy: Self.headerLength)
            answers.writeBytes([0, 0, 8, Self.pingType, Self.acknowledgement, 0, 0, 0, 0])
            var payload = input.readSlice(length: header.length) ?? ByteBuffer()
            answers.writeBuffer(&payload)
        }
        pending = input.readableBytes > 0 ? ByteBuffer(buffer: input) : ByteBuffer()
        return (forwarded, answers)
    }

    private mutating func forward(_ count: Int, from input: inout ByteBuffer, to output: inout ByteBuffer) {
        remaining -= count
        guard var slice = input.readSlice(length: count) else { return }
        output.writeBuffer(&slice)
    }

    private struct Header {
        let length: Int
        let isPingRequest: Bool

        /// `nil` until the whole header has come.
        init?(_ buffer: ByteBuffer) {
            guard let bytes = buffer.getBytes(at: buffer.readerIndex, length: FrameSplitter.headerLength) else {
                return nil
            }
            length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
            // A PING of another length is an error that the stack above must see.
            isPingRequest =
                bytes[3] == FrameSplitter.pingType && bytes[4] & FrameSplitter.acknowledgement == 0 && length == 8
        }
    }
}
