import HostIO
import SystemPackage

/// An open file with its path for messages.
public struct OpenFile {
    /// The descriptor, which stays its owner's.
    public let descriptor: FileDescriptor
    /// The path on the node.
    public let path: String

    /// A file that a descriptor is open on.
    public init(descriptor: FileDescriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// What it is now.
    public func attributes() throws(SystemCallError) -> EntryAttributes { try attributesOf(descriptor, name: path) }

    /// Fills a buffer from an offset, less of it at the end of the file; the bytes read.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(SystemCallError) -> Int {
        try readFully(descriptor, name: path, at: offset, into: buffer)
    }

    /// The bytes at an offset, fewer at the end of the file.
    public func bytes(at offset: Int, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            initializedCount = try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }
}
