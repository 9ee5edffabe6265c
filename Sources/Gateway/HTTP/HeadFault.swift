/// Why a head or body is refused. Whatever could be read in two ways is refused, because the other side might read it the other way.
enum HeadFault: UInt8, Error, CaseIterable {
    case malformedStartLine
    case targetTooLong
    case unsupportedVersion
    case bareLineFeed
    case malformedField
    case foldedField
    case controlCharacter
    case tooManyFields
    case headTooLarge
    case malformedHost
    case repeatedContentLength
    case malformedContentLength
    case conflictingFraming
    case unsupportedTransferCoding
    case malformedChunk
    case plainHTTP

    var status: Int {
        switch self {
        case .targetTooLong: 414
        case .tooManyFields, .headTooLarge: 431
        case .unsupportedVersion: 505
        case .unsupportedTransferCoding: 501
        default: 400
        }
    }

    var explanation: StaticString {
        switch self {
        case .malformedStartLine: "The request line must be METHOD SP TARGET SP HTTP/1.1."
        case .targetTooLong: "The request target is longer than 16384 bytes."
        case .unsupportedVersion: "Only HTTP/1.0 and HTTP/1.1 are spoken here."
        case .bareLineFeed: "Lines of the head must end with CR LF."
        case .malformedField: "A header field must be NAME: VALUE, with no space before the colon."
        case .foldedField: "A header field must stand in one line."
        case .controlCharacter: "A header field holds a control character."
        case .tooManyFields: "The head holds more than 128 fields."
        case .headTooLarge: "The head is larger than 32768 bytes."
        case .malformedHost: "Exactly one valid Host field is needed."
        case .repeatedContentLength: "Content-Length is given more than once."
        case .malformedContentLength: "Content-Length must be a decimal number."
        case .conflictingFraming: "Content-Length and Transfer-Encoding exclude each other."
        case .unsupportedTransferCoding: "The only transfer coding known here is chunked."
        case .malformedChunk: "The chunked body is malformed."
        case .plainHTTP: "This port speaks HTTPS; plain HTTP was sent to it."
        }
    }
}
