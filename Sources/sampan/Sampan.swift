import ArgumentParser

@main
struct Sampan: AsyncParsableCommand {}
