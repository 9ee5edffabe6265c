import KubernetesModel

extension ContainerResources {
    private static let period = 100_000
    private static let minimumShares = 2
    private static let minimumQuota = 1000

    /// The control group settings for a container's requests and limits.
    ///
    /// - Parameter nodeMemory: bytes, by which the share of a burstable container is measured
    init(_ definition: ContainerDefinition, qualityOfService: String, nodeMemory: Int) {
        self.init()
        let cpuLimit = definition.limits["cpu"].map { Int($0.milliValue) } ?? 0
        let cpuRequest = definition.requests["cpu"].map { Int($0.milliValue) } ?? cpuLimit
        cpuShares = max(Self.minimumShares, cpuRequest * 1024 / 1000)
        if cpuLimit > 0 {
            cpuPeriod = Self.period
            cpuQuota = max(Self.minimumQuota, cpuLimit * Self.period / 1000)
        }
        memoryLimit = definition.limits["memory"].map { Int($0.value) } ?? 0
        let memoryRequest = definition.requests["memory"].map { Int($0.value) } ?? memoryLimit
        outOfMemoryScoreAdjustment = Self.score(qualityOfService, memoryRequest, nodeMemory)
    }

    /// The more of its memory a container asked for, the later it is killed.
    private static func score(_ qualityOfService: String, _ request: Int, _ nodeMemory: Int) -> Int {
        switch qualityOfService {
        case "Guaranteed": return -997
        case "BestEffort": return 1000
        default:
            let share = nodeMemory > 0 ? min(1000, request / (nodeMemory / 1000 + 1)) : 0
            return min(999, max(3, 1000 - share))
        }
    }
}
