"""Confine a process that reads untrusted bytes, with what the kernel gives to a process without privileges.

`confinement` applies the measures and reports which of them the host gave; `seccomp`, `landlock` and `privileges` are
the measures. Written on `ctypes`: libseccomp's bindings need a system library and were last released in 2021, and a
wrapper such as bubblewrap needs user namespaces, which a pod's default seccomp profile denies.
"""
