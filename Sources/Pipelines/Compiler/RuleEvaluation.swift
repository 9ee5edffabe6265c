import KubernetesModel

/// How a job takes part in a pipeline.
struct JobSelection {
    var when: When
    var allowFailure: AllowFailure
    var variables: OrderedDictionary<String, VariableDefinition> = [:]
    var needs: [Need]?
}

/// Applies `rules`, `only` and `except` to an event.
struct RuleEvaluation {
    let event: PipelineEvent
    let paths: [String]

    /// How the job runs, or `nil` when it does not.
    func selection(of job: JobDefinition, _ variables: VariableCollection) -> JobSelection? {
        guard let rules = job.rules else {
            guard isSelected(job, variables), job.when != .never else { return nil }
            let when = job.when ?? .onSuccess
            return JobSelection(when: when, allowFailure: job.allowFailure ?? (when == .manual ? .yes : .no))
        }
        guard let rule = firstMatch(rules, variables) else { return nil }
        let when = rule.when ?? job.when ?? .onSuccess
        guard when != .never else { return nil }
        return JobSelection(
            when: when,
            allowFailure: rule.allowFailure ?? job.allowFailure ?? .no,
            variables: rule.variables,
            needs: rule.needs
        )
    }

    func firstMatch(_ rules: [Rule], _ variables: VariableCollection) -> Rule? {
        rules.first { rule in
            (rule.condition?.holds { variables[$0] } ?? true)
                && (rule.changes.map { changes($0, variables) } ?? true)
                && (rule.exists.map { exists($0, variables) } ?? true)
        }
    }

    private func changes(_ patterns: [String], _ variables: VariableCollection) -> Bool {
        guard let changed = event.changedPaths, !event.isTag else { return true }
        return matches(patterns, changed, variables)
    }

    private func exists(_ patterns: [String], _ variables: VariableCollection) -> Bool {
        matches(patterns, paths, variables)
    }

    private func matches(_ patterns: [String], _ paths: [String], _ variables: VariableCollection) -> Bool {
        patterns.contains { pattern in
            let glob = GlobPattern(VariableExpansion.expand(pattern) { variables[$0] })
            return paths.contains(where: glob.matches)
        }
    }

    // MARK: - only and except

    private func isSelected(_ job: JobDefinition, _ variables: VariableCollection) -> Bool {
        var only = job.only ?? RefFilter()
        if only.refs == nil { only.refs = ["branches", "tags"] }
        guard holds(only, variables).allSatisfy({ $0 }) else { return false }
        return !(job.except.map { holds($0, variables).contains(true) } ?? false)
    }

    /// Whether each part that the filter states holds.
    private func holds(_ filter: RefFilter, _ variables: VariableCollection) -> [Bool] {
        [
            filter.refs.map { $0.contains(where: matchesRef) },
            filter.variables.map { $0.contains { $0.holds { variables[$0] } } },
            filter.changes.map { changes($0, variables) },
        ].compactMap { $0 }
    }

    private func matchesRef(_ ref: String) -> Bool {
        let ref = ref.first == "/" ? ref : String(ref.prefix { $0 != "@" })
        switch ref {
        case "branches": return !event.isTag
        case "tags": return event.isTag
        case "pushes": return event.source == .push
        case "web": return event.source == .web
        case "api": return event.source == .api
        case "triggers": return event.source == .trigger
        case "schedules": return event.source == .schedule
        default: break
        }
        guard ref.first == "/" else { return ref == event.ref }
        return (try? RulePattern(ref))?.expression.matches(event.ref) ?? false
    }
}
