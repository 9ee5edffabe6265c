import Foundation
package import HTTPTypes

/// A refused registry request in the shape of the wire: the error object of the OCI distribution specification.
package struct RegistryError: Error, Equatable, CustomStringConvertible {
    /// The codes of the specification's error table, and those that Docker's registry adds.
    package enum Code: String, Sendable {
        case blobUnknown = "BLOB_UNKNOWN"
        case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
        case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
        case digestInvalid = "DIGEST_INVALID"
        case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
        case manifestInvalid = "MANIFEST_INVALID"
        case manifestUnknown = "MANIFEST_UNKNOWN"
        case nameInvalid = "NAME_INVALID"
        case nameUnknown = "NAME_UNKNOWN"
        case sizeInvalid = "SIZE_INVALID"
        case unauthorized = "UNAUTHORIZED"
        case denied = "DENIED"
        case unsupported = "UNSUPPORTED"
        case unknown = "UNKNOWN"
    }

    package var status: HTTPResponse.Status
    package var code: Code
    package var message: String

    package init(_ status: HTTPResponse.Status, _ code: Code, _ message: String) {
        self.status = status
        self.code = code
        self.message = message
    }

    package var description: String { "\(code.rawValue): \(message)" }

    /// The body of the response: `{"errors":[{"code","message"}]}`.
    var body: Data {
        struct Body: Encodable {
            struct Entry: Encodable {
                let code: String
                let message: String
            }
            let errors: [Entry]
        }
        let body = Body(errors: [Body.Entry(code: code.rawValue, message: message)])
        // Two strings always encode.
        return (try? JSONEncoder().encode(body)) ?? Data(#"{"errors":[]}"#.utf8)
    }
}

// MARK: - The usual ones

extension RegistryError {
    static func blobUnknown(_ digest: ContentDigest, in repository: RepositoryName) -> RegistryError {
        RegistryError(.notFound, .blobUnknown, "repository \(repository) has no blob \(digest)")
    }

    static func manifestUnknown(_ reference: ManifestReference, in repository: RepositoryName) -> RegistryError {
        RegistryError(.notFound, .manifestUnknown, "repository \(repository) has no manifest \(reference)")
    }

    static func uploadUnknown(_ identifier: String) -> RegistryError {
        RegistryError(
            .notFound,
            .blobUploadUnknown,
            "there is no upload \(identifier); it was finished, cancelled or older than a day: start the blob again"
        )
    }

    static func manifestInvalid(_ message: String) -> RegistryError {
        RegistryError(.badRequest, .manifestInvalid, message)
    }

    static let diskFull = RegistryError(
        .init(code: 507, reasonPhrase: "Insufficient Storage"),
        .denied,
        "the registry's disk is full; nothing of this request was kept: free space and push again"
    )
}
