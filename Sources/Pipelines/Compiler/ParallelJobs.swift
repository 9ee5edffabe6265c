import KubernetesModel

/// Makes the jobs that `parallel` asks for.
enum ParallelJobs {
    static let maximum = 200

    static func expand(_ job: CompiledJob, _ parallel: Parallel?) -> [CompiledJob] {
        switch parallel {
        case nil: [job]
        case .count(let total): (1...total).map { numbered(job, $0, of: total, name: "\(job.name) \($0)/\(total)") }
        case .matrix(let matrix): expand(job, combinations(matrix))
        }
    }

    private static func expand(_ job: CompiledJob, _ combinations: [OrderedDictionary<String, String>]) -> [CompiledJob]
    {
        combinations.enumerated().map { index, combination in
            let name = "\(job.name): [\(combination.values.joined(separator: ", "))]"
            var job = numbered(job, index + 1, of: combinations.count, name: name)
            job.variables += combination.map { JobVariable($0.key, $0.value) }
            return job
        }
    }

    private static func numbered(_ job: CompiledJob, _ index: Int, of total: Int, name: String) -> CompiledJob {
        var job = job
        job.name = name
        job.variables += [JobVariable("CI_NODE_INDEX", "\(index)"), JobVariable("CI_NODE_TOTAL", "\(total)")]
        return job
    }

    /// Every choice of one value per variable, in the order of the file, at most ``maximum``.
    static func combinations(_ matrix: [OrderedDictionary<String, [String]>]) -> [OrderedDictionary<String, String>] {
        var result: [OrderedDictionary<String, String>] = []
        for entry in matrix {
            var partial: [OrderedDictionary<String, String>] = [[:]]
            for (name, values) in entry {
                partial = partial.flatMap { chosen in values.map { chosen.merging([name: $0]) { _, new in new } } }
                partial = Array(partial.prefix(maximum))
            }
            result += partial
        }
        return Array(result.prefix(maximum))
    }

    /// Whether `name` is `base` or one of the jobs that `parallel` makes of it.
    static func isJob(_ name: String, of base: String) -> Bool {
        guard name != base else { return true }
        guard name.hasPrefix(base) else { return false }
        let rest = name.dropFirst(base.count)
        if rest.hasPrefix(": [") { return rest.hasSuffix("]") }
        let parts = rest.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        return rest.first == " " && parts.count == 2 && parts.allSatisfy { Int($0) != nil }
    }
}
