//! What strangers get: floods are told less and whoever did ask is heard all the same, a cookie is
//! good wherever its secret is known, and lists say who may ask. The real server, real sockets.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use std::{
    fs::Permissions,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    process::Command,
    time::Duration,
};
use support::{
    DEADLINE, await_some, backend, dns, free_address,
    peers::dig,
    process::Process,
    scratch::Scratch,
    server::{Server, cli},
    tool,
};
use tradewind::clock::{Clock, SystemClock};

const ZONE: &str = "@ 300 SOA ns1 host 1 2h 15m 2w 5m\n@ 300 NS ns1\nns1 300 A 192.0.2.53\n\
    www 300 A 192.0.2.80\n";
const FIRST: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const SECOND: &str = "445536bcd2513298075a5d379663c962";

/// A folder whose server listens on `ip` and says `told` too, with these cookie secrets.
fn folder(ip: &str, told: &str, secrets: &str) -> Scratch {
    let folder = Scratch::with(&[("zones/example.test.zone", ZONE), ("secrets/cookies", secrets)]);
    folder.write("tradewind.toml", &server_file(ip, told));
    chmod(&folder, 0o600);
    folder
}

fn server_file(ip: &str, told: &str) -> String {
    format!("[server]\nlisten = ['{ip}:0']\nadmin = '{ip}:0'\n{told}")
}

fn chmod(folder: &Scratch, mode: u32) {
    let path = folder.path().join("secrets/cookies");
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What the server counted under `name`, labels included.
fn counted(server: &Server, name: &str) -> u64 {
    let (_, text) = backend::get(server.admin(), "/metrics").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap() as u64
}

/// A client at `from`.
fn client(from: &str, server: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind((from.parse::<IpAddr>().unwrap(), 0)).unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

fn receive(client: &UdpSocket) -> Message {
    let mut buf = [0; 1_232];
    let len = client.recv(&mut buf).unwrap();
    Message::from_vec(&buf[..len]).unwrap()
}

/// Sends `count` questions for a name that does not exist, and one for a name that does: how many
/// of the first were answered by the time the last one was. One socket is one thread of the
/// server, which answers in order.
fn flood(from: &str, server: SocketAddr, count: usize) -> u64 {
    let client = client(from, server);
    let nothing = dns::message("nothing.example.test", RecordType::A);
    for _ in 0..count {
        client.send(&nothing).unwrap();
    }
    client.send(&dns::message("www.example.test", RecordType::A)).unwrap();
    let mut answered = 0;
    while receive(&client).metadata.response_code == ResponseCode::NXDomain {
        answered += 1;
    }
    answered
}

#[test]
fn a_flood_is_cut_to_its_rate_and_its_neighbours_are_not() {
    let told = "[rrl]\nper_second = 1\nwindow = '60s'\nslip = 0\nexempt = ['127.0.83.0/24']";
    let server = Server::start(folder("127.0.81.1", told, FIRST));
    let (clock, at) = (SystemClock::default(), server.udp());
    let begun = clock.now();
    let answered = flood("127.0.82.1", at, 200) + flood("127.0.82.200", at, 100);
    // One more a second comes along while the flood lasts.
    let late = clock.now().since(begun).as_secs() + 1;
    assert!((60..=60 + late).contains(&answered), "{answered}");
    assert_eq!(counted(&server, "tradewind_dns_rrl_total{action=\"drop\"}"), 300 - answered);
    let dropped = counted(&server, "tradewind_dns_dropped_total{reason=\"rate_limited\"}");
    assert_eq!(dropped, 300 - answered);
    assert_eq!(flood("127.0.84.1", at, 50), 50, "another network");
    assert_eq!(flood("127.0.83.1", at, 100), 100, "an exempt one");
    // Whoever asks over TCP is who he says.
    let over_tcp = |_| {
        let mut client = tradewind::dns::Client::new(&clock, server.tcp(), DEADLINE, 1);
        let question = dns::question("nothing.example.test", RecordType::A, "");
        let reply = client.ask(&question, tradewind::dns::Transport::Tcp).unwrap();
        reply.message.metadata.response_code
    };
    assert!((0..100).map(over_tcp).all(|rcode| rcode == ResponseCode::NXDomain));
}

#[test]
fn who_did_ask_is_told_to_come_back_over_tcp() {
    let told = "[rrl]\nper_second = 1\nwindow = '60s'\nslip = 1\nexempt = []";
    let server = Server::start(folder("127.0.81.2", told, FIRST));
    let client = client("127.0.82.1", server.udp());
    let mut truncated = 0;
    for _ in 0..100 {
        client.send(&dns::message("nothing.example.test", RecordType::A)).unwrap();
        let reply = receive(&client);
        assert_eq!(reply.queries.len(), 1);
        truncated += u64::from(reply.metadata.truncation);
    }
    assert!((1..=40).contains(&truncated), "{truncated}");
    assert_eq!(counted(&server, "tradewind_dns_rrl_total{action=\"slip\"}"), truncated);
}

#[test]
fn by_default_loopback_is_not_limited() {
    let server = Server::start(folder("127.0.81.3", "", FIRST));
    assert_eq!(flood("127.0.82.1", server.udp(), 250), 250);
}

#[test]
fn lists_say_who_may_ask_from_the_next_reload_on() {
    let server = Server::start(folder("127.0.81.4", "", FIRST));
    let mut question = dns::message("www.example.test", RecordType::A);
    let [near, far] = ["127.0.82.1", "127.0.83.1"].map(|from| client(from, server.udp()));
    let ask = |client: &UdpSocket, question: &[u8]| {
        client.send(question).unwrap();
        receive(client).metadata.response_code
    };
    assert_eq!(ask(&far, &question), ResponseCode::NoError);
    let told = "[access]\nallow = ['127.0.82.0/24']\ndrop = ['127.0.84.0/24']";
    server.folder.write("tradewind.toml", &server_file("127.0.81.4", told));
    server.reload();
    assert_eq!(ask(&near, &question), ResponseCode::NoError);
    assert_eq!(ask(&far, &question), ResponseCode::Refused);
    let silent = client("127.0.84.1", server.udp());
    silent.send(&question).unwrap();
    // The answer to somebody else, after it, shows that it had its turn; threads differ, so the
    // counter is what is waited for.
    question[1] ^= 1;
    assert_eq!(ask(&near, &question), ResponseCode::NoError);
    await_some("a packet dropped by the list", || {
        let name = "tradewind_dns_dropped_total{reason=\"access\"}";
        (counted(&server, name) == 1).then_some(())
    });
    silent.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert!(silent.recv(&mut [0; 512]).is_err());
}

/// What dig says of the cookie in the reply to a query with `cookie`, and the rcode.
fn cookie(server: SocketAddr, name: &str, cookie: &str) -> (String, String) {
    let option = format!("+cookie={cookie}");
    let args = ["-b", "127.0.0.1", "+norecurse", "+nobadcookie", &option, name];
    let text = dig(server, &args).unwrap();
    let word = |before: &str, end: char| {
        let at = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}"));
        text[at + before.len()..].split(end).next().unwrap().trim().to_owned()
    };
    assert!(text.contains("(good)"), "{text}");
    (word("status: ", ','), word("COOKIE: ", '('))
}

const NAME: &str = "www.example.test";
/// A client's half.
const HALF: &str = "2464c4abcf10c957";

#[test]
fn dig_keeps_its_cookie_over_a_secret_that_is_rolled_over() {
    if tool("dig").is_none() {
        return;
    }
    let told = "cookies = { secret_file = 'secrets/cookies', require = true }";
    let server = Server::start(folder("127.0.81.5", told, FIRST));
    let at = server.udp();
    let (status, first) = cookie(at, NAME, HALF);
    assert_eq!(status, "BADCOOKIE");
    assert_eq!(cookie(at, NAME, &first), ("NOERROR".into(), first.clone()));
    let roll = |secrets: &str| {
        server.folder.write("secrets/cookies", secrets);
        chmod(&server.folder, 0o600);
        server.reload();
    };
    // Known before it signs, ...
    roll(&format!("{FIRST}\n{SECOND}\n"));
    assert_eq!(cookie(at, NAME, &first), ("NOERROR".into(), first.clone()));
    // ... then it signs, ...
    roll(&format!("{SECOND}\n{FIRST}\n"));
    let (status, second) = cookie(at, NAME, &first);
    assert_eq!(status, "NOERROR");
    assert_ne!(second, first);
    // ... and the old one goes.
    roll(SECOND);
    assert_eq!(cookie(at, NAME, &second), ("NOERROR".into(), second.clone()));
    assert_eq!(cookie(at, NAME, &first).0, "BADCOOKIE");
    assert_eq!(counted(&server, "tradewind_dns_cookies_total{result=\"new\"}"), 1);
    assert_eq!(counted(&server, "tradewind_dns_cookies_total{result=\"valid\"}"), 4);
    assert_eq!(counted(&server, "tradewind_dns_cookies_total{result=\"invalid\"}"), 1);
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    let told = "cookies = { secret_file = 'secrets/cookies' }";
    let folder = folder("127.0.81.6", told, FIRST);
    let check = || {
        let output = cli(&["check", "-C", folder.path().to_str().unwrap()]);
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    assert!(!check().contains("secrets/cookies"));
    chmod(&folder, 0o644);
    let told = check();
    let wrong = "secrets/cookies: everybody on this machine may read it; run `chmod o= FILE`";
    assert!(told.contains(wrong), "{told}");
}

/// BIND's named, which answers only who holds a cookie made with `secret`.
fn named(secret: &str) -> Option<(SocketAddr, Process, Scratch)> {
    let program = tool("named")?;
    let folder = Scratch::with(&[("example.test.zone", &format!("$ORIGIN example.test.\n{ZONE}"))]);
    // It listens on addresses of interfaces only.
    let address = free_address("127.0.0.1".parse().unwrap());
    let (path, ip, port) = (folder.path().display(), address.ip(), address.port());
    let config = format!(
        "options {{ directory \"{path}\"; pid-file none; session-keyfile none; recursion no;
         listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }}; notify no;
         dnssec-validation no; cookie-algorithm siphash24; cookie-secret \"{secret}\";
         require-server-cookie yes; }};
         controls {{ }};
         zone \"example.test\" {{ type primary; file \"example.test.zone\"; }};"
    );
    let mut command = Command::new(program);
    command.args(["-g", "-n", "1", "-c"]).arg(folder.write("named.conf", &config));
    let mut process = Process::start(&command, &folder.path().join("log"));
    process.await_some("answer of named", || {
        let clock = SystemClock::default();
        let mut client = tradewind::dns::Client::new(&clock, address, DEADLINE / 100, 1);
        let question = dns::question("example.test", RecordType::SOA, "");
        let reply = client.ask(&question, tradewind::dns::Transport::Udp).ok()?;
        dns::serial(&reply.message)
    });
    Some((address, process, folder))
}

#[test]
fn bind_and_tradewind_take_each_others_cookies() {
    let (Some(_), Some((bind, _process, _folder))) = (tool("dig"), named(FIRST)) else { return };
    let told = "cookies = { secret_file = 'secrets/cookies', require = true }";
    let server = Server::start(folder("127.0.81.8", told, &format!("{FIRST}\n")));
    let of_bind = cookie(bind, NAME, HALF);
    assert_eq!(of_bind.0, "BADCOOKIE");
    assert_eq!(cookie(server.udp(), NAME, &of_bind.1), ("NOERROR".into(), of_bind.1.clone()));
    let (status, ours) = cookie(server.udp(), NAME, HALF);
    assert_eq!(status, "BADCOOKIE");
    assert_eq!(cookie(bind, NAME, &ours).0, "NOERROR");
    // And the test would see it if they did not.
    let forged = format!("{}{}", &ours[..47], if ours.ends_with('0') { '1' } else { '0' });
    assert_eq!(cookie(bind, NAME, &forged).0, "BADCOOKIE");
}
