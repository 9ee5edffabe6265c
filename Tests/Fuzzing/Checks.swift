/// Stops the fuzzer, which then keeps the input that led here.
func check(_ condition: Bool, _ message: StaticString) {
    if !condition { fatalError("\(message)") }
}
