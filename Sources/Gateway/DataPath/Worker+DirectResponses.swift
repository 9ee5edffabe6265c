/// Answers that a route itself gives.
extension Worker {
    /// 204 and 304 have no content (RFC 9110 §15.3.5, §15.4.5); an answer to HEAD only says how long it would be.
    mutating func answerDirectly(_ client: ConnectionPointer, _ rule: TableView.RuleRow, _ view: TableView) {
        let response = rule.response
        let hasContent = response.status != 204 && response.status != 304
        client.pointee.exchange.status = response.status
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(response.status))
        writer.append(" ")
        writer.append(view.text(response.reason))
        writer.append("\r\n")
        if hasContent {
            writer.append("Content-Type: ")
            writer.append(view.text(response.contentType))
            writer.append("\r\nContent-Length: ")
            writer.append(decimal: UInt64(response.body.count))
            writer.append("\r\n")
        }
        for index in rule.responseChanges.indices where view.changes[index].kind != .remove {
            let change = view.changes[index]
            writer.append(name: view.text(change.name), value: view.text(change.value))
        }
        finishLocalHead(client, &writer)
        if hasContent, !client.pointee.exchange.isHead { writer.append(view.text(response.body)) }
        guard send(writer.bytes, toClient: client) else { return }
        responseFinished(client)
    }
}
