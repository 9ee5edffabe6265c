import KubernetesModel

/// Tells whether two pod templates are the same, and names a template by its content.
enum PodTemplate {
    static let hashLabel = "pod-template-hash"

    /// Equal but for the label that a Deployment adds to the templates of its ReplicaSets.
    static func areEqual(_ left: JSON, _ right: JSON) -> Bool {
        canonical(left) == canonical(right)
    }

    /// A name for the content of `template`; `collisionCount` gives another one when that name is taken by other content.
    static func hash(_ template: JSON, collisionCount: Int) -> String {
        var hash: UInt32 = 2_166_136_261  // FNV-1a
        for byte in canonical(template).encoded() + Array("\(collisionCount)".utf8) {
            hash = (hash ^ UInt32(byte)) &* 16_777_619
        }
        // Without vowels and the digits that look like them, so that no words come about.
        let letters = Array("bcdfghjklmnpqrstvwxz2456789")
        return String(String(hash).utf8.map { letters[Int($0) % letters.count] })
    }

    private static func canonical(_ template: JSON) -> JSON {
        var template = template
        template["metadata", "labels", hashLabel] = nil
        return template.canonical
    }
}

extension JSON {
    /// The same value with sorted keys and without nulls and empty objects, which say nothing more than an absent field.
    fileprivate var canonical: JSON {
        switch self {
        case .object(let object):
            let fields = object.map { ($0.key, $0.value.canonical) }.filter { !$0.1.isNull && $0.1 != [:] }
            return .object(JSONObject(uniqueKeysWithValues: fields.sorted { $0.0 < $1.0 }))
        case .array(let elements): return .array(elements.map(\.canonical))
        default: return self
        }
    }
}
