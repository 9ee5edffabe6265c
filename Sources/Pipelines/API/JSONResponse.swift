import HTTPTypes
import Hummingbird
import KubernetesModel
import NIOCore
import Review

/// A JSON answer of the API; fields without a value are `null`, as GitLab's are.
struct JSONResponse: ResponseGenerator, Sendable {
    let json: JSON
    var status = HTTPResponse.Status.ok
    var headers: HTTPFields = [:]

    func response(from request: Request, context: some RequestContext) throws -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        return Response(
            status: status,
            headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: json.encoded()))
        )
    }
}

/// An answer without a body.
struct EmptyResponse: ResponseGenerator, Sendable {
    func response(from request: Request, context: some RequestContext) throws -> Response {
        Response(status: .noContent)
    }
}

/// Bytes of a known number.
struct ByteResponse: ResponseGenerator, Sendable {
    let type: String
    let body: ResponseBody
    var headers: HTTPFields = [:]

    func response(from request: Request, context: some RequestContext) throws -> Response {
        var headers = headers
        headers[.contentType] = type
        return Response(status: .ok, headers: headers, body: body)
    }
}

extension APICall {
    /// A page of a whole list, with GitLab's paging headers.
    func list<Element>(_ elements: [Element], _ transform: (Element) throws -> JSON) throws -> JSONResponse {
        let page = try Page(fields)
        let url = forge.configuration.externalURL
        return JSONResponse(
            json: .array(try page.slice(elements).map(transform)),
            headers: page.headers(total: elements.count, request: request, externalURL: url)
        )
    }

    /// The running job whose token the request carries, when it is the one that the path names.
    func job() throws -> JobIdentity {
        guard case .job(let job) = try requirePrincipal(), job.jobID == (try id("job_id", of: "Job")) else {
            throw GitLabError.forbidden("only the job itself may do this, with its own token")
        }
        return job
    }
}

extension JSON {
    static func optional(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    static func optional(_ value: Int?) -> JSON { value.map { JSON($0) } ?? .null }
}
