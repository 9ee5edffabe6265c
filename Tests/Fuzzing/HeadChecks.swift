func withFields(_ body: (UnsafeMutablePointer<HeaderField>) -> Void) {
    let fields = UnsafeMutablePointer<HeaderField>.allocate(capacity: FieldParser.maximumFields)
    defer { fields.deallocate() }
    body(fields)
}

func checkFields(_ fields: UnsafePointer<HeaderField>, _ count: Int, _ length: Int) {
    check(count <= FieldParser.maximumFields, "there are more fields than allowed")
    for index in 0..<count {
        let field = fields[index]
        check(Int(field.line.start + field.line.count) <= length, "a field lies outside of the head")
        check(field.name.start == field.line.start, "a field's line starts with its name")
        check(field.value.start > field.name.start + field.name.count, "a field's value follows its name")
        check(
            field.value.start + field.value.count <= field.line.start + field.line.count - 2,
            "a value leaves its line"
        )
    }
}
