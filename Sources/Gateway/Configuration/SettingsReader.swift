/// Reads the bounds and waits of the whole gateway, and its access log.
struct SettingsReader {
    static let fields = ["timeouts", "limits", "forwarding", "accessLog"]

    func read(_ object: ConfigurationObject) -> DataPathConfiguration {
        var settings = DataPathConfiguration()
        if let timeouts = object["timeouts"] { readTimeouts(timeouts, &settings) }
        if let limits = object["limits"] { readLimits(limits, &settings) }
        if let forwarding = object["forwarding"].flatMap({
            $0.choice([
                "xForwarded": DataPathConfiguration.ForwardedFields.xForwarded, "forwarded": .forwarded, "both": .both,
                "none": DataPathConfiguration.ForwardedFields.none,
            ])
        }) {
            settings.forwarding = forwarding
        }
        return settings
    }

    func accessLog(_ node: ConfigurationNode?) -> AccessLogSettings? {
        guard let object = node?.object(["path", "format", "bufferSize"]),
            let path = object.required("path")?.text("the path of a file")
        else { return nil }
        var settings = AccessLogSettings(path: path)
        if let format = object["format"].flatMap({
            $0.choice(["json": AccessLogSettings.Format.json, "combined": AccessLogSettings.Format.combined])
        }) {
            settings.format = format
        }
        if let size = object["bufferSize"]?.size(65_536...268_435_456) { settings.bufferSize = size }
        return settings
    }

    // MARK: - Private

    private func readTimeouts(_ node: ConfigurationNode, _ settings: inout DataPathConfiguration) {
        let waits: [(String, WritableKeyPath<DataPathConfiguration, UInt64>)] = [
            ("connect", \.connectTimeout), ("requestHead", \.headTimeout), ("clientIdle", \.idleTimeout),
            ("progress", \.progressTimeout), ("tunnelIdle", \.tunnelIdleTimeout),
            ("upstreamIdle", \.upstreamIdleTimeout), ("hold", \.holdTimeout),
        ]
        guard let object = node.object(waits.map(\.0)) else { return }
        for (name, wait) in waits {
            if let time = object[name]?.duration(1...86_400_000) { settings[keyPath: wait] = UInt64(time) }
        }
    }

    private func readLimits(_ node: ConfigurationNode, _ settings: inout DataPathConfiguration) {
        let counts: [(String, WritableKeyPath<DataPathConfiguration, Int>)] = [
            ("clientsPerWorker", \.maximumClients), ("heldPerWorker", \.maximumHeld),
            ("idlePerEndpoint", \.maximumIdlePerEndpoint),
        ]
        let sizes = ["body", "bytesPerSecond", "bufferedPerWorker"]
        guard let object = node.object(counts.map(\.0) + sizes) else { return }
        for (name, count) in counts {
            if let value = object[name]?.integer(1...1_000_000) { settings[keyPath: count] = value }
        }
        if let size = object["body"]?.size(0...1_000_000_000_000) { settings.maximumBody = UInt64(size) }
        if let rate = object["bytesPerSecond"]?.size(0...1_000_000_000) { settings.minimumRate = UInt64(rate) }
        if let size = object["bufferedPerWorker"]?.size(1_048_576...1_000_000_000_000) {
            settings.maximumBuffered = size
        }
    }
}
