//! Shared helpers: argument parsing, PRNG, DNS packet building, /proc CPU accounting, histogram.

use std::collections::HashMap;
use std::fs;

/// `--key value` and `--flag` parser. Unknown keys are kept and reported by `finish`.
pub struct Args {
    map: HashMap<String, String>,
    used: std::cell::RefCell<Vec<String>>,
}

impl Args {
    pub fn parse(flags: &[&str]) -> Args {
        let mut map = HashMap::new();
        let mut it = std::env::args().skip(1).peekable();
        while let Some(a) = it.next() {
            let key = a
                .strip_prefix("--")
                .unwrap_or_else(|| die(&format!("unexpected argument {a}")))
                .to_string();
            if flags.contains(&key.as_str()) {
                map.insert(key, "1".into());
            } else {
                let v = it.next().unwrap_or_else(|| die(&format!("--{key} needs a value")));
                map.insert(key, v);
            }
        }
        Args { map, used: Default::default() }
    }
    pub fn opt(&self, k: &str) -> Option<&str> {
        self.used.borrow_mut().push(k.to_string());
        self.map.get(k).map(|s| s.as_str())
    }
    pub fn flag(&self, k: &str) -> bool {
        self.opt(k).is_some()
    }
    pub fn get<T: std::str::FromStr>(&self, k: &str, default: T) -> T {
        match self.opt(k) {
            None => default,
            Some(v) => v.parse().unwrap_or_else(|_| die(&format!("bad value for --{k}: {v}"))),
        }
    }
    pub fn finish(&self) {
        for k in self.map.keys() {
            if !self.used.borrow().contains(k) {
                die(&format!("unknown option --{k}"));
            }
        }
    }
}

pub fn die(msg: &str) -> ! {
    eprintln!("error: {msg}");
    std::process::exit(2)
}

/// splitmix64
pub struct Rng(pub u64);
impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.next() as u128 * n as u128) >> 64) as u64
    }
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }
    /// A random public-looking IPv4 /24.
    pub fn public_v4_24(&mut self) -> [u8; 3] {
        loop {
            let r = self.next();
            let (a, b, c) = (r as u8, (r >> 8) as u8, (r >> 16) as u8);
            let bad = a == 0
                || a == 10
                || a == 127
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 169 && b == 254)
                || (a == 172 && (16..32).contains(&b))
                || (a == 192 && b == 168)
                || (a == 192 && b == 0)
                || (a == 198 && (b == 18 || b == 19 || b == 51))
                || (a == 203 && b == 0);
            if !bad {
                return [a, b, c];
            }
        }
    }
}

pub fn now_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

pub fn qtype_num(t: &str) -> u16 {
    match t.to_ascii_uppercase().as_str() {
        "A" => 1,
        "NS" => 2,
        "CNAME" => 5,
        "SOA" => 6,
        "PTR" => 12,
        "MX" => 15,
        "TXT" => 16,
        "AAAA" => 28,
        "SRV" => 33,
        "DS" => 43,
        "DNSKEY" => 48,
        "HTTPS" => 65,
        "ANY" => 255,
        o => o
            .strip_prefix("TYPE")
            .and_then(|n| n.parse().ok())
            .unwrap_or_else(|| die(&format!("unknown qtype {o}"))),
    }
}

/// Appends a query packet (id 0, RD clear) to `out`.
pub fn build_query(out: &mut Vec<u8>, name: &str, qtype: u16, dobit: bool, opt: Option<&Opt>) {
    let opt = if dobit { Some(opt.unwrap_or(Opt::NONE)) } else { opt };
    out.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, opt.is_some() as u8]);
    for label in name.trim_end_matches('.').split('.').filter(|l| !l.is_empty()) {
        if label.len() > 63 {
            die(&format!("label too long in {name}"));
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&qtype.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    if let Some(Opt { ecs, cookie }) = opt {
        let ecs_len = if ecs.is_some() { 11 } else { 0 };
        let cookie_len = if cookie.is_empty() { 0 } else { 4 + cookie.len() };
        out.extend_from_slice(&[0, 0, 41]);
        out.extend_from_slice(&1232u16.to_be_bytes());
        out.extend_from_slice(&[0, 0, if dobit { 0x80 } else { 0 }, 0]);
        out.extend_from_slice(&[0, ecs_len + cookie_len as u8]);
        if let Some(n) = ecs {
            out.extend_from_slice(&[0, 8, 0, 7, 0, 1, 24, 0]);
            out.extend_from_slice(n);
        }
        if !cookie.is_empty() {
            out.extend_from_slice(&[0, 10, 0, cookie.len() as u8]);
            out.extend_from_slice(cookie);
        }
    }
}

/// What the OPT record of a query holds.
#[derive(Default)]
pub struct Opt {
    pub ecs: Option<[u8; 3]>,
    pub cookie: Vec<u8>,
}
impl Opt {
    const NONE: &'static Opt = &Opt { ecs: None, cookie: Vec::new() };
}

/// Our cookie, and the one `target` gives us for it: what a client that has been there before sends.
pub fn cookie_of(target: &str, name: &str, qtype: u16) -> Vec<u8> {
    let mine = b"loadtest".to_vec();
    let mut query = Vec::new();
    build_query(&mut query, name, qtype, false, Some(&Opt { ecs: None, cookie: mine.clone() }));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap_or_else(|e| die(&e.to_string()));
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    let mut reply = [0; 1500];
    for _ in 0..3 {
        if socket.send_to(&query, target).is_err() {
            continue;
        }
        let Ok(len) = socket.recv(&mut reply) else { continue };
        let head = [&[0, 10, 0, 24][..], &mine].concat();
        if let Some(at) = reply[..len].windows(head.len()).position(|part| part == head) {
            return reply[at + 4..at + 28].to_vec();
        }
    }
    die("the server gives no cookies")
}

/// End offset of the name starting at `p` (handles a compression pointer), or None.
pub fn skip_name(b: &[u8], mut p: usize) -> Option<usize> {
    loop {
        let l = *b.get(p)?;
        if l & 0xC0 == 0xC0 {
            return Some(p + 2);
        }
        if l == 0 {
            return Some(p + 1);
        }
        p += 1 + l as usize;
    }
}

/// First A rdata in the answer section.
pub fn first_a(b: &[u8]) -> Option<u32> {
    let an = u16::from_be_bytes([*b.get(6)?, *b.get(7)?]);
    let mut p = skip_name(b, 12)? + 4;
    for _ in 0..an {
        p = skip_name(b, p)?;
        let h = b.get(p..p + 10)?;
        let ty = u16::from_be_bytes([h[0], h[1]]);
        let rl = u16::from_be_bytes([h[8], h[9]]) as usize;
        let rd = b.get(p + 10..p + 10 + rl)?;
        if ty == 1 && rl == 4 {
            return Some(u32::from_be_bytes([rd[0], rd[1], rd[2], rd[3]]));
        }
        p += 10 + rl;
    }
    None
}

#[derive(Default, Clone, Copy, Debug)]
pub struct Cpu {
    pub run_ns: u64,
    pub utime_ticks: u64,
    pub stime_ticks: u64,
    pub ctx_switches: u64,
}

/// Summed over all threads of all PIDs. run_ns is the scheduler's exact on-CPU time.
pub fn cpu_of(pids: &[u32]) -> Cpu {
    let mut c = Cpu::default();
    for pid in pids {
        let st = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(s) => s,
            Err(_) => die(&format!("server pid {pid} is gone")),
        };
        let rest = &st[st.rfind(')').unwrap() + 2..];
        let f: Vec<&str> = rest.split(' ').collect();
        c.utime_ticks += f[11].parse::<u64>().unwrap_or(0);
        c.stime_ticks += f[12].parse::<u64>().unwrap_or(0);
        if let Ok(dir) = fs::read_dir(format!("/proc/{pid}/task")) {
            for t in dir.flatten() {
                let p = t.path();
                if let Ok(s) = fs::read_to_string(p.join("schedstat")) {
                    let mut it = s.split_whitespace();
                    c.run_ns += it.next().and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
                    c.ctx_switches += it.nth(1).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
                }
            }
        }
    }
    c
}

pub fn rss_kib(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|p| fs::read_to_string(format!("/proc/{p}/status")).ok())
        .filter_map(|s| {
            s.lines()
                .find_map(|l| l.strip_prefix("VmRSS:").and_then(|v| v.split_whitespace().next().map(str::to_string)))
        })
        .filter_map(|v| v.parse::<u64>().ok())
        .sum()
}

/// Log-linear latency histogram (32 sub-buckets per power of two, about 3% resolution).
pub struct Hist {
    b: Vec<u64>,
    pub n: u64,
}
impl Hist {
    pub fn new() -> Hist {
        Hist { b: vec![0; 64 * 32], n: 0 }
    }
    pub fn add(&mut self, v: u64) {
        let v = v.max(32);
        let e = 63 - v.leading_zeros() as usize;
        let m = ((v >> (e - 5)) & 31) as usize;
        self.b[e * 32 + m] += 1;
        self.n += 1;
    }
    pub fn clear(&mut self) {
        self.b.iter_mut().for_each(|x| *x = 0);
        self.n = 0;
    }
    pub fn pct(&self, p: f64) -> u64 {
        if self.n == 0 {
            return 0;
        }
        let want = ((self.n as f64) * p).ceil().max(1.0) as u64;
        let mut acc = 0;
        for (i, c) in self.b.iter().enumerate() {
            acc += c;
            if acc >= want {
                let (e, m) = (i / 32, i % 32);
                return (1u64 << e) + ((m as u64) << (e - 5));
            }
        }
        0
    }
}
impl Default for Hist {
    fn default() -> Self {
        Self::new()
    }
}

/// "127.0.0.1:5300" -> sockaddr_in, refusing anything outside 127/8.
pub fn loopback_addr(s: &str) -> libc::sockaddr_in {
    let a: std::net::SocketAddrV4 = s.parse().unwrap_or_else(|_| die("need IPv4 addr:port"));
    if !a.ip().is_loopback() {
        die("only 127.0.0.0/8 is allowed");
    }
    let mut sa: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    sa.sin_family = libc::AF_INET as u16;
    sa.sin_port = a.port().to_be();
    sa.sin_addr.s_addr = u32::from_ne_bytes(a.ip().octets());
    sa
}

pub fn set_int(fd: i32, level: i32, opt: i32, v: i32) -> bool {
    unsafe {
        libc::setsockopt(fd, level, opt, &v as *const i32 as *const _, std::mem::size_of::<i32>() as u32) == 0
    }
}
