import HTTPTypes
import Hummingbird
import NIOCore
import SystemPackage

extension RegistryRoutes {
    /// Sends a blob, or the one range of it that the request asks for (RFC 9110 §14).
    func blob(_ request: Request, _ digest: ContentDigest, in repository: RepositoryName) async throws -> Response {
        let size = try await storage.size(of: digest, in: repository)
        var headers: HTTPFields = [
            .contentType: "application/octet-stream", .dockerContentDigest: digest.description, .acceptRanges: "bytes",
            .eTag: "\"\(digest)\"",
        ]
        let path = storage.path(of: digest)
        switch BlobRange(request.headers[.range], size: size) {
        case .whole:
            return Response(status: .ok, headers: headers, body: Self.stream(path, 0..<size))
        case .part(let range):
            headers[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)"
            return Response(status: .partialContent, headers: headers, body: Self.stream(path, range))
        case .unsatisfiable:
            var response = Response(
                RegistryError(
                    .rangeNotSatisfiable,
                    .sizeInvalid,
                    "the blob has \(size) bytes; the range asks for others"
                )
            )
            response.headers[.contentRange] = "bytes */\(size)"
            return response
        }
    }

    func deleteBlob(_ digest: ContentDigest, in repository: RepositoryName) async throws -> Response {
        try await storage.deleteBlob(digest, in: repository)
        return Response(status: .accepted)
    }

    // MARK: - Uploads

    func startUpload(
        _ request: Request,
        into repository: RepositoryName,
        as identity: RegistryIdentity?
    ) async throws -> Response {
        let parameters = request.uri.queryParameters
        if let mount = parameters["mount"], let from = parameters["from"] {
            let digest = try ContentDigest.parse(String(mount))
            let source = try RepositoryName.parse(from)
            if await allows(identity, .pull, source.description),
                try await storage.mount(digest, from: source, into: repository)
            {
                return created(digest, in: repository)
            }
        }
        let identifier = try await storage.startUpload(into: repository)
        guard let digest = try parameters["digest"].map({ try ContentDigest.parse(String($0)) }) else {
            return accepted(identifier, in: repository, size: 0)
        }
        try await storage.finishUpload(identifier, in: repository, digest: digest, body: request.body)
        return created(digest, in: repository)
    }

    func uploadStatus(_ identifier: String, in repository: RepositoryName) async throws -> Response {
        let size = try await storage.uploadedSize(identifier, in: repository)
        var response = accepted(identifier, in: repository, size: size)
        response.status = .noContent
        return response
    }

    func append(_ request: Request, to identifier: String, in repository: RepositoryName) async throws -> Response {
        do {
            let size = try await storage.append(
                request.body,
                toUpload: identifier,
                in: repository,
                range: try contentRange(of: request)
            )
            return accepted(identifier, in: repository, size: size)
        } catch let error as RegistryError where error.status == .rangeNotSatisfiable {
            let size = try await storage.uploadedSize(identifier, in: repository)
            var response = accepted(identifier, in: repository, size: size)
            response.body = Response(error).body
            response.status = error.status
            return response
        }
    }

    func finish(_ request: Request, _ identifier: String, in repository: RepositoryName) async throws -> Response {
        guard let text = request.uri.queryParameters["digest"] else {
            throw RegistryError(.badRequest, .digestInvalid, "finishing an upload needs the parameter digest=sha256:…")
        }
        let digest = try ContentDigest.parse(String(text))
        if let range = try contentRange(of: request) {
            _ = try await storage.append(request.body, toUpload: identifier, in: repository, range: range)
            try await storage.finishUpload(
                identifier,
                in: repository,
                digest: digest,
                body: RequestBody(buffer: ByteBuffer())
            )
        } else {
            try await storage.finishUpload(identifier, in: repository, digest: digest, body: request.body)
        }
        return created(digest, in: repository)
    }

    func cancel(_ identifier: String, in repository: RepositoryName) async throws -> Response {
        try await storage.cancelUpload(identifier, in: repository)
        return Response(status: .noContent)
    }

    // MARK: - Private

    private func created(_ digest: ContentDigest, in repository: RepositoryName) -> Response {
        Response(
            status: .created,
            headers: [.location: "/v2/\(repository)/blobs/\(digest)", .dockerContentDigest: digest.description]
        )
    }

    private func accepted(_ identifier: String, in repository: RepositoryName, size: Int) -> Response {
        Response(
            status: .accepted,
            headers: [
                .location: "/v2/\(repository)/blobs/uploads/\(identifier)",
                .range: "0-\(max(size - 1, 0))",
                .dockerUploadIdentifier: identifier,
            ]
        )
    }

    /// The specification's form is `<first>-<last>`; HTTP's own, `bytes <first>-<last>/<size>`, is understood, too.
    private func contentRange(of request: Request) throws -> ClosedRange<Int>? {
        guard let header = request.headers[.contentRange] else { return nil }
        let text = header.hasPrefix("bytes ") ? header.dropFirst(6) : header[...]
        let bounds = text.prefix { $0 != "/" }.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard bounds.count == 2, let first = bounds[0], let last = bounds[1], first >= 0, first <= last else {
            throw RegistryError(
                .badRequest,
                .blobUploadInvalid,
                "Content-Range is \"\(header.prefix(80))\", expected <first byte>-<last byte>"
            )
        }
        return first...last
    }

    private static func stream(_ path: FilePath, _ range: Range<Int>) -> ResponseBody {
        ResponseBody(contentLength: range.count) { writer in
            let file = try await DurableFile.onDisk { try FileDescriptor.open(path, .readOnly) }
            defer { try? file.close() }
            var offset = range.lowerBound
            while offset < range.upperBound {
                let position = offset
                let part = try await DurableFile.onDisk {
                    try read(file, from: position, count: min(256 << 10, range.upperBound - position))
                }
                try await writer.write(part)
                offset += part.readableBytes
            }
            try await writer.finish(nil)
        }
    }

    private static func read(_ file: SystemPackage.FileDescriptor, from offset: Int, count: Int) throws -> ByteBuffer {
        var buffer = ByteBuffer()
        try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
            try file.read(
                fromAbsoluteOffset: Int64(offset),
                into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
            )
        }
        guard buffer.readableBytes > 0 else { throw Errno.ioError }
        return buffer
    }
}

/// What a `Range` header asks of content of a known size. Forms other than one range of bytes ask for the whole.
enum BlobRange: Equatable {
    case whole
    case part(Range<Int>)
    case unsatisfiable

    init(_ header: String?, size: Int) {
        guard let header, header.hasPrefix("bytes="), !header.contains(",") else {
            self = .whole
            return
        }
        let bounds = header.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard bounds.count == 2 else {
            self = .whole
            return
        }
        switch (Int(bounds[0]), Int(bounds[1])) {
        case (let first?, let last?) where first <= last: self = Self.clamped(first, last + 1, size)
        case (let first?, nil) where bounds[1].isEmpty: self = Self.clamped(first, size, size)
        case (nil, let count?) where bounds[0].isEmpty: self = Self.clamped(max(size - count, 0), size, size)
        default: self = .whole
        }
    }

    private static func clamped(_ first: Int, _ end: Int, _ size: Int) -> BlobRange {
        first < min(end, size) ? .part(first..<min(end, size)) : .unsatisfiable
    }
}
