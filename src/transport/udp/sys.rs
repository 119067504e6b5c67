//! The one file with `unsafe` code beside `pages.rs` and `prefetch.rs`: `recvmmsg`, `sendmmsg`,
//! their control messages, `setsockopt`.
//!
//! [`Batch`] owns the memory the kernel reads and writes, and lends it out one [`Packet`] at a
//! time. Must not know what a packet says, nor decide what becomes of it.
#![expect(unsafe_code, reason = "libc calls over memory the kernel writes; see SAFETY comments")]

use libc::{c_int, c_void, cmsghdr, iovec, mmsghdr, msghdr};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut, slice_from_raw_parts_mut};

/// Datagrams a system call may carry. A batch of 1 costs 26 % more CPU a query, 8 costs 6 %;
/// nothing is gained past 64.
pub(super) const BATCH: usize = 64;
/// The longest datagram accepted and the most room a reply can have. Replies stay below 1,232;
/// queries past 512 are rare, past this unheard of.
pub(super) const PACKET_MAX: usize = 4_096;

/// Room for the two control messages a datagram may carry: its destination (the IPv6 form is the
/// longer) and the socket's drop counter.
const CONTROL: usize = space::<libc::in6_pktinfo>() + space::<u32>();

const fn space<T>() -> usize {
    // SAFETY: CMSG_SPACE is arithmetic on its argument.
    unsafe { libc::CMSG_SPACE(size_of::<T>() as u32) as usize }
}

/// Sets a whole-number socket option that socket2 does not know.
pub(super) fn set_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<c_int>()` bytes at `&value`, which outlives the call.
    let outcome = unsafe {
        let value = (&raw const value).cast::<c_void>();
        libc::setsockopt(fd.as_raw_fd(), level, name, value, size_of::<c_int>() as u32)
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One datagram's memory. The 4,096 bytes are not a power of two apart: equal offsets of
/// neighbours would compete for one set of the L1 cache.
#[repr(C, align(64))]
struct Slot {
    bytes: [u8; PACKET_MAX],
    /// Large enough for either family; the family is in its first field.
    from: libc::sockaddr_in6,
    control: Control,
}

#[repr(C, align(8))] // As cmsghdr.
struct Control([u8; CONTROL]);

/// What the kernel sees. `received[i]` points at `slots[i]` for good; `replies` is packed anew for
/// each batch, so that one `sendmmsg` sends all whatever was left without a reply.
#[repr(C)]
struct Memory {
    slots: [Slot; BATCH],
    received: [mmsghdr; BATCH],
    received_iov: [iovec; BATCH],
    replies: [mmsghdr; BATCH],
    replies_iov: [iovec; BATCH],
}

/// One datagram received, lent out to be answered in place.
pub(super) struct Packet<'b> {
    /// The whole buffer; the datagram is its first `len` bytes.
    pub(super) buf: &'b mut [u8],
    /// The datagram's length.
    pub(super) len: usize,
    /// Who sent it; none if the kernel gave no address, as a socket that was shut down does.
    pub(super) from: Option<SocketAddr>,
    /// Whether the datagram was longer than the buffer.
    pub(super) cut: bool,
}

/// [`BATCH`] datagrams and their addresses, allocated once.
///
/// All access to the memory goes through the one raw pointer (never through a `Box`), because the
/// headers inside it point into it and must stay valid between calls. Neither `Send` nor `Sync`:
/// a thread makes its own.
pub(super) struct Batch {
    memory: NonNull<Memory>,
    /// Datagrams of the last [`Batch::receive`].
    received: usize,
    /// Replies in `replies`, from the front.
    queued: usize,
}

impl Batch {
    #[expect(clippy::indexing_slicing, reason = "each index is below BATCH")]
    pub(super) fn new() -> Self {
        let layout = Layout::new::<Memory>();
        // SAFETY: `Memory` is not zero-sized.
        let memory = unsafe { alloc_zeroed(layout) }.cast::<Memory>();
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        let batch = Batch { memory, received: 0, queued: 0 };
        for i in 0..BATCH {
            let m = memory.as_ptr();
            // SAFETY: `memory` is allocated for a whole `Memory`, `i < BATCH`, and zeros are a
            // value of every field. No reference is made, only pointers that stay valid until
            // `drop`.
            unsafe {
                let slot = &raw mut (*m).slots[i];
                (*m).received_iov[i].iov_base = (&raw mut (*slot).bytes).cast();
                (*m).received_iov[i].iov_len = PACKET_MAX;
                let header = &raw mut (*m).received[i].msg_hdr;
                (*header).msg_name = (&raw mut (*slot).from).cast();
                (*header).msg_iov = &raw mut (*m).received_iov[i];
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*slot).control).cast();
                (*m).replies[i].msg_hdr.msg_iov = &raw mut (*m).replies_iov[i];
                (*m).replies[i].msg_hdr.msg_iovlen = 1;
            }
            batch.rearm(i);
        }
        batch
    }

    /// Waits for a datagram, takes as many as are there, and forgets those before. Returns how
    /// many; fails with `WouldBlock` when the socket's receive timeout passes.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        (0..self.received).for_each(|i| self.rearm(i));
        (self.received, self.queued) = (0, 0);
        // SAFETY: the headers, and everything they point to, lie in `memory`, which `&mut self`
        // keeps from anybody else; `rearm` has set each length to what is really there.
        let count = unsafe {
            let headers = (&raw mut (*self.memory.as_ptr()).received).cast::<mmsghdr>();
            libc::recvmmsg(fd.as_raw_fd(), headers, BATCH as u32, libc::MSG_WAITFORONE, null_mut())
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        self.received = count as usize;
        Ok(self.received)
    }

    /// Datagram `i` of the last [`Batch::receive`].
    #[expect(clippy::indexing_slicing, reason = "below BATCH, by the assertion")]
    pub(super) fn packet(&mut self, i: usize) -> Packet<'_> {
        assert!(i < self.received, "datagram {i} of {}", self.received);
        let m = self.memory.as_ptr();
        // SAFETY: `i < BATCH` by the assertion. The slice covers `slots[i].bytes` only, nothing
        // else refers to it while `&mut self` is lent, and its bytes are initialised: zeroed in
        // `new`, since then written by the kernel and the answerer.
        unsafe {
            let message = &raw const (*m).received[i];
            let bytes = (&raw mut (*m).slots[i].bytes).cast::<u8>();
            Packet {
                buf: &mut *slice_from_raw_parts_mut(bytes, PACKET_MAX),
                len: ((*message).msg_len as usize).min(PACKET_MAX),
                from: socket_addr(&raw const (*m).slots[i].from, (*message).msg_hdr.msg_namelen),
                cut: (*message).msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            }
        }
    }

    /// Queues the first `len` bytes of datagram `i` to go back where it came from, from the
    /// address it was sent to.
    #[expect(clippy::indexing_slicing, reason = "below BATCH, by the assertion")]
    pub(super) fn queue(&mut self, i: usize, len: usize) {
        assert!(i < self.received && self.queued < BATCH && len <= PACKET_MAX);
        let m = self.memory.as_ptr();
        // SAFETY: both indices are below BATCH by the assertion, and all pointers stored point
        // into `memory`; `len` lies within `bytes`.
        unsafe {
            let asked = &raw const (*m).received[i].msg_hdr;
            let reply = &raw mut (*m).replies[self.queued].msg_hdr;
            (*reply).msg_name = (*asked).msg_name;
            (*reply).msg_namelen = (*asked).msg_namelen;
            (*reply).msg_controllen = source_control(asked);
            (*reply).msg_control = match (*reply).msg_controllen {
                0 => null_mut(),
                _ => (*asked).msg_control,
            };
            (*m).replies_iov[self.queued].iov_base = (*m).received_iov[i].iov_base;
            (*m).replies_iov[self.queued].iov_len = len;
        }
        self.queued += 1;
    }

    /// How many replies are queued.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Sends the queued replies from number `first` on, without waiting. Returns how many the
    /// kernel took: fewer than all when one failed, whose error the next call then returns.
    pub(super) fn send(&mut self, fd: BorrowedFd<'_>, first: usize) -> io::Result<usize> {
        assert!(first <= self.queued);
        let count = (self.queued - first) as u32;
        // SAFETY: `first + count <= queued <= BATCH`, and `queue` has pointed those headers at
        // slots of `memory` which `&mut self` keeps unchanged during the call.
        let sent = unsafe {
            let headers = (&raw mut (*self.memory.as_ptr()).replies).cast::<mmsghdr>();
            libc::sendmmsg(fd.as_raw_fd(), headers.add(first), count, libc::MSG_DONTWAIT)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }

    /// How many datagrams the socket had dropped when the last one received came in; none if it
    /// never dropped any. Wraps at 2³². Ask before [`Batch::queue`], which reuses the memory.
    #[expect(clippy::indexing_slicing, reason = "no more are received than BATCH")]
    pub(super) fn drops(&self) -> Option<u32> {
        let last = self.received.checked_sub(1)?;
        // SAFETY: `last < BATCH`, and the header is as the kernel left it.
        unsafe {
            let header = &raw const (*self.memory.as_ptr()).received[last].msg_hdr;
            find(header, libc::SOL_SOCKET, libc::SO_RXQ_OVFL)
        }
    }

    /// Gives slot `i` back to the kernel: resets what a call overwrites.
    #[expect(clippy::indexing_slicing, reason = "every caller passes one below BATCH")]
    fn rearm(&self, i: usize) {
        // SAFETY: private; every caller passes `i < BATCH`. Writes fields in place.
        unsafe {
            let header = &raw mut (*self.memory.as_ptr()).received[i].msg_hdr;
            (*header).msg_namelen = size_of::<libc::sockaddr_in6>() as u32;
            (*header).msg_controllen = CONTROL;
            (*header).msg_flags = 0;
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.memory.as_ptr().cast(), Layout::new::<Memory>()) }
    }
}

/// The address of which the kernel wrote `len` bytes at `from`.
///
/// # Safety
/// `from` points at a whole, initialised `sockaddr_in6`.
unsafe fn socket_addr(from: *const libc::sockaddr_in6, len: u32) -> Option<SocketAddr> {
    const V4_LEN: usize = size_of::<libc::sockaddr_in>();
    const V6_LEN: usize = size_of::<libc::sockaddr_in6>();
    // SAFETY: the caller's; `sockaddr_in` is shorter and no stricter aligned, and both begin with
    // the family.
    unsafe {
        match (c_int::from((*from).sin6_family), len as usize) {
            (libc::AF_INET, V4_LEN) => {
                let from = from.cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(u32::from_be((*from).sin_addr.s_addr));
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be((*from).sin_port))))
            }
            (libc::AF_INET6, V6_LEN) => {
                let ip = Ipv6Addr::from((*from).sin6_addr.s6_addr);
                let port = u16::from_be((*from).sin6_port);
                let (flow, scope) = ((*from).sin6_flowinfo, (*from).sin6_scope_id);
                Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
            }
            _ => None,
        }
    }
}

/// Turns the control messages of a datagram received into the one that makes its reply leave from
/// the address it was sent to. Returns its length; 0 if the datagram has none (explicit bind).
///
/// # Safety
/// `header` was filled by the kernel, and its control buffer of [`CONTROL`] bytes is not shared.
unsafe fn source_control(header: *const msghdr) -> usize {
    // SAFETY: the caller's, passed on.
    unsafe {
        if let Some(mut info) = find::<libc::in_pktinfo>(header, libc::IPPROTO_IP, libc::IP_PKTINFO)
        {
            // Route the reply by its destination, not back out of the interface it came in on: on
            // a multi-homed host or behind a load balancer they differ.
            info.ipi_ifindex = 0;
            info.ipi_addr.s_addr = 0;
            return put(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        if let Some(mut info) =
            find::<libc::in6_pktinfo>(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
        {
            // A link-local address means nothing without its interface (RFC 4007 §6).
            if !Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() {
                info.ipi6_ifindex = 0;
            }
            return put(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
    0
}

/// The payload of a datagram's control message of this level and type.
///
/// # Safety
/// `header` was filled by the kernel, and `T` is the type it writes for this level and type.
unsafe fn find<T: Copy>(header: *const msghdr, level: c_int, kind: c_int) -> Option<T> {
    // SAFETY: the macros walk `msg_controllen` bytes of a buffer the kernel filled; a message of
    // full length holds a whole `T`, perhaps unaligned.
    unsafe {
        let mut message: *mut cmsghdr = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let whole = (*message).cmsg_len >= libc::CMSG_LEN(size_of::<T>() as u32) as usize;
            if (*message).cmsg_level == level && (*message).cmsg_type == kind && whole {
                return Some(libc::CMSG_DATA(message).cast::<T>().read_unaligned());
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

/// Writes one control message to the start of a header's control buffer, over what was there.
/// Returns the length the control buffer then has.
///
/// # Safety
/// The header's control buffer has [`CONTROL`] bytes, aligned as `cmsghdr`, and is not shared;
/// `T` is no longer than an `in6_pktinfo`.
unsafe fn put<T>(header: *const msghdr, level: c_int, kind: c_int, payload: T) -> usize {
    // SAFETY: the caller's: the message fits and is aligned.
    unsafe {
        let message = (*header).msg_control.cast::<cmsghdr>();
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as usize;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(payload);
    }
    space::<T>()
}
