/// What is remembered of attempts and exchanges: metrics, the state of endpoints, the access log.
extension Worker {
    /// An exchange is over; called once for each, whoever answered. `exchange.status` is what the client was told, zero for nothing.
    mutating func exchangeEnded(_ client: ConnectionPointer, _ exchange: Exchange) {
        metrics.record(
            series: exchange.series,
            status: exchange.isAborted ? 0 : exchange.status,
            microseconds: (nanoseconds - exchange.startedAt) / 1000
        )
        metrics.add(.requestBytes, series: exchange.series, exchange.requestBytes)
        metrics.add(.responseBytes, series: exchange.series, exchange.responseBytes)
        if exchange.backend != Connection.none { metrics.add(.ended, series: exchange.series) }
        if let accessLog, !client.pointee.isCopy { writeLog(accessLog, client, exchange) }
    }

    // MARK: - Attempts

    /// The head of an answer has come.
    @inline(__always)
    mutating func noteAnswer(of upstream: ConnectionPointer, _ client: ConnectionPointer, status: Int) {
        noteOutcome(upstream.pointee.endpoint, status: status, nil)
    }

    /// An attempt has failed. What follows the head of an answer does not count again.
    mutating func noteFailure(
        of upstream: ConnectionPointer,
        _ client: ConnectionPointer,
        _ word: EndpointRecord.WorkerWord
    ) {
        guard !client.pointee.exchange.hasResponseHead else { return }
        noteOutcome(upstream.pointee.endpoint, status: 0, word)
    }

    /// - Parameter status: zero where there was no answer.
    @inline(__always)
    mutating func noteOutcome(_ endpoint: UInt32, status: Int, _ word: EndpointRecord.WorkerWord?) {
        guard let words = topology.endpoints[endpoint].pointee.words else { return }
        words.add(.requests, worker: number)
        if let word { words.add(word, worker: number) }
        if status > 0, status < 500 {
            words.add(.successes, worker: number)
            // Read before written, so that workers share the cache line while all is well.
            if words.load(.errorRun) != 0 { words.set(.errorRun, 0) }
            if words.load(.gatewayFailureRun) != 0 { words.set(.gatewayFailureRun, 0) }
        } else {
            noteError(endpoint, words, isGatewayFailure: status == 0 || (502...504).contains(status))
        }
    }

    private mutating func noteError(_ endpoint: UInt32, _ words: EndpointRecord.Words, isGatewayFailure: Bool) {
        let state = topology.endpoints[endpoint].pointee
        let backend = topology.backends[state.backend].pointee
        guard backend.row.watchesOutliers else { return }
        let errors = words.increment(.errorRun)
        var failures: UInt64 = 0
        if isGatewayFailure { failures = words.increment(.gatewayFailureRun) } else { words.set(.gatewayFailureRun, 0) }
        let (maximumErrors, maximumFailures) = (backend.row.maximumErrorRun, backend.row.maximumGatewayFailureRun)
        let isOutlier =
            maximumErrors > 0 && errors >= UInt64(maximumErrors)
            || maximumFailures > 0 && failures >= UInt64(maximumFailures)
        guard isOutlier, let compiled = backend.compiled, let record = state.record else { return }
        compiled.takeUnretainedValue().record.sawErrorsInARow(record.takeUnretainedValue(), now: now)
    }
}
