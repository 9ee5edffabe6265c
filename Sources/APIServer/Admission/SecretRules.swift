import Foundation
import KubernetesModel

enum SecretRules: KindRules {
    static func admitCreation(_ secret: inout JSON, in service: APIService) throws -> Admitted {
        encodeStringData(&secret)
        return Admitted()
    }

    static func admitUpdate(_ secret: inout JSON, from old: JSON, in service: APIService) throws -> Admitted {
        encodeStringData(&secret)
        return Admitted()
    }

    /// `stringData` is for writing only: it wins over `data` and is stored as such.
    private static func encodeStringData(_ secret: inout JSON) {
        guard let texts = secret["stringData"]?.stringMap else { return }
        secret["stringData"] = nil
        for (key, text) in texts.sorted(by: { $0.key < $1.key }) {
            secret["data", key] = .string(Data(text.utf8).base64EncodedString())
        }
    }
}
