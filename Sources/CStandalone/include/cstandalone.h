/// What a program must do for itself that brings its C library along and finds nothing that it can rely on: no interpreter,
/// no shared library, no `/proc`, no `/dev`, whatever kernel and whatever settings of the host.
///
/// It works by being linked: a constructor prepares the process before Swift starts, and some functions of the C library
/// and of Swift's runtime are replaced. Only the fully static executable (`CSTANDALONE_IS_STATIC`) has any of it.
#ifndef CSTANDALONE_H
#define CSTANDALONE_H

/// Whether the executable is fully static and what is said here holds.
int cstandalone_is_static(void);

#endif
