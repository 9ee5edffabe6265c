/// Writes a response's head for the client.
struct ResponseTranscoder: BitwiseCopyable {
    let response: ResponseHead
    let head: ByteSpan
    let fields: UnsafePointer<HeaderField>
    let view: TableView
    let changes: RowRange
    /// Further field lines of final answers.
    let added: ByteSpan
    let delivery: Exchange.Delivery
    let isHTTP10: Bool
    let closes: Bool

    func write(to writer: inout HeadWriter) {
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(response.status))
        writer.append(" ")
        writer.append(head.slice(response.reason))
        writer.append("\r\n")
        let (keepsUpgrade, keepsLength) = (response.status == 101 || response.status == 426, hasLength)
        let copy = FieldCopy(
            head: head,
            fields: fields,
            count: response.fieldCount,
            view: view,
            changes: changes,
            nominates: response.options.nominates
        )
        copy.write(to: &writer) { kind in
            switch kind {
            case .upgrade: keepsUpgrade
            case .contentLength: keepsLength
            default: !kind.isHopByHop
            }
        }
        writeConnection(to: &writer)
        copy.writeChanges(to: &writer)
        if response.status >= 200 { writer.append(added) }
        writer.append("\r\n")
    }

    // MARK: - Private

    /// RFC 9110 §8.6: no length in 1xx and 204.
    private var hasLength: Bool { response.status >= 200 && response.status != 204 }

    private func writeConnection(to writer: inout HeadWriter) {
        let isChunked = response.body.kind == .chunked && delivery == .verbatim || delivery == .chunking
        if isChunked { writer.append("Transfer-Encoding: chunked\r\n") }
        if response.status == 101 {
            writer.append("Connection: upgrade\r\n")
        } else if response.status < 200 {
            return
        } else if closes {
            writer.append("Connection: close\r\n")
        } else if isHTTP10 {
            writer.append("Connection: keep-alive\r\n")
        }
    }
}
