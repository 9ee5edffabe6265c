import CLinux

/// The wall clock for log lines, laid out once per second. Belongs to one thread.
struct LogDate: BitwiseCopyable {
    private let state: UnsafeMutablePointer<State>
    private let text: UnsafeMutablePointer<UInt8>

    private struct State: BitwiseCopyable {
        /// Of the wall clock against the monotonic one, nanoseconds.
        var offset: UInt64 = 0
        var second: UInt64 = 0
        var milliseconds: UInt64 = 0
        var commonCount = 0
    }

    private static let isoLength = 19

    init() {
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        text = .allocate(capacity: 64)
    }

    func free() {
        state.deallocate()
        text.deallocate()
    }

    /// `2026-11-21T12:41:04`
    var iso: ByteSpan { ByteSpan(text, Self.isoLength) }
    /// `21/Nov/2026:12:41:04 +0000`
    var common: ByteSpan { ByteSpan(text + Self.isoLength, state.pointee.commonCount) }
    /// Of the second.
    var milliseconds: UInt64 { state.pointee.milliseconds }

    func refresh(monotonic nanoseconds: UInt64) {
        var wall = nanoseconds &+ state.pointee.offset
        if wall / 1_000_000_000 != state.pointee.second {
            state.pointee.offset = clinux_realtime() &- clinux_monotonic()
            wall = nanoseconds &+ state.pointee.offset
            state.pointee.second = wall / 1_000_000_000
            layOut(second: state.pointee.second)
        }
        state.pointee.milliseconds = wall / 1_000_000 % 1000
    }

    // MARK: - Private

    func layOut(second: UInt64) {
        let (year, month, day) = Self.date(ofDay: Int(second / 86_400))
        let (hour, minute, rest) = (second / 3600 % 24, second / 60 % 60, second % 60)
        var iso = HeadWriter(text, capacity: Self.isoLength)
        iso.append(decimal: UInt64(year), digits: 4)
        iso.append("-")
        iso.append(decimal: UInt64(month), digits: 2)
        iso.append("-")
        iso.append(decimal: UInt64(day), digits: 2)
        iso.append("T")
        Self.append(hour, minute, rest, to: &iso)
        var common = HeadWriter(text + Self.isoLength, capacity: 64 - Self.isoLength)
        common.append(decimal: UInt64(day), digits: 2)
        common.append("/")
        common.append(Self.name(ofMonth: month))
        common.append("/")
        common.append(decimal: UInt64(year), digits: 4)
        common.append(":")
        Self.append(hour, minute, rest, to: &common)
        common.append(" +0000")
        state.pointee.commonCount = common.count
    }

    private static func append(_ hour: UInt64, _ minute: UInt64, _ second: UInt64, to writer: inout HeadWriter) {
        writer.append(decimal: hour, digits: 2)
        writer.append(":")
        writer.append(decimal: minute, digits: 2)
        writer.append(":")
        writer.append(decimal: second, digits: 2)
    }

    /// The civil date of a day since 1970, counted in eras of 400 years that begin in March.
    static func date(ofDay day: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = day + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    private static func name(ofMonth month: Int) -> StaticString {
        switch month {
        case 1: "Jan"
        case 2: "Feb"
        case 3: "Mar"
        case 4: "Apr"
        case 5: "May"
        case 6: "Jun"
        case 7: "Jul"
        case 8: "Aug"
        case 9: "Sep"
        case 10: "Oct"
        case 11: "Nov"
        default: "Dec"
        }
    }
}
