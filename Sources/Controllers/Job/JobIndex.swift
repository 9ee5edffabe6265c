import KubernetesModel

/// The indexes of an Indexed Job: each pod works on one of them, and each of them must succeed once. Pure.
enum JobIndex {
    static let annotation = "batch.kubernetes.io/job-completion-index"
    private static let variable = "JOB_COMPLETION_INDEX"

    /// Makes a pod from the Job's template one that works on `index`: by its annotation and label, its name, its host name and a
    /// variable in all its containers.
    static func assign(_ index: Int, to pod: inout JSON, of job: String) {
        pod["metadata", "annotations", annotation] = .string(String(index))
        pod["metadata", "labels", annotation] = .string(String(index))
        let number = "-\(index)"
        let random = (pod["metadata", "name"]?.string ?? "").suffix(6)
        pod["metadata", "generateName"] = .string("\(job)\(number)-")
        pod["metadata", "name"] = .string("\(job.prefix(57 - number.count))\(number)\(random)")
        pod["spec", "hostname"] = .string("\(job.prefix(63 - number.count))\(number)")
        for field in ["initContainers", "containers"] {
            guard let containers = pod["spec", field]?.array else { continue }
            pod["spec", field] = .array(containers.map(withVariable))
        }
    }

    private static func withVariable(_ container: JSON) -> JSON {
        let variables = container["env"]?.array ?? []
        guard !variables.contains(where: { $0["name"]?.string == variable }) else { return container }
        let source: JSON = ["fieldRef": ["fieldPath": .string("metadata.annotations['\(annotation)']")]]
        var container = container
        container["env"] = .array(variables + [["name": .string(variable), "valueFrom": source]])
        return container
    }

    // MARK: - The form of `status.completedIndexes`

    /// Reads `0-2,5`.
    static func parse(_ text: String) -> Set<Int> {
        var indexes: Set<Int> = []
        for part in text.split(separator: ",") {
            let ends = part.split(separator: "-").compactMap { Int($0) }
            guard let first = ends.first, let last = ends.last, first <= last else { continue }
            indexes.formUnion(first...last)
        }
        return indexes
    }

    /// Two neighbours are named, three and more are a range, as Kubernetes writes them.
    static func text(_ indexes: Set<Int>) -> String {
        var ranges: [ClosedRange<Int>] = []
        for index in indexes.sorted() {
            if let last = ranges.last, last.upperBound + 1 == index {
                ranges[ranges.count - 1] = last.lowerBound...index
            } else {
                ranges.append(index...index)
            }
        }
        return ranges.map { range in
            switch range.count {
            case 1: "\(range.lowerBound)"
            case 2: "\(range.lowerBound),\(range.upperBound)"
            default: "\(range.lowerBound)-\(range.upperBound)"
            }
        }.joined(separator: ",")
    }
}

extension PodView {
    /// Which index of an Indexed Job it works on.
    var completionIndex: Int? { annotations[JobIndex.annotation].flatMap { Int($0) } }
}
