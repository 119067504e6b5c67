//! Frame Streams, the writer's side: the handshake of both sides, data frames, the end.
//!
//! Each frame has its length in front; a length of zero announces a control frame. The reader says
//! READY is fine (ACCEPT), and FINISH once it has everything up to our STOP, as specified in
//! fstrm's `control.h`.

use std::io::{self, Read, Write};

/// What dnstap's frames hold (dnstap.info).
const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
/// Control frames are no longer than this (`FSTRM_CONTROL_FRAME_LENGTH_MAX`).
const CONTROL_MAX: u32 = 512;
/// The field of a control frame that names what frames hold.
const FIELD_CONTENT: u32 = 1;

/// Kinds of control frames.
const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
const FINISH: u32 = 5;

/// Agrees with the reader on what comes, and begins.
pub(super) fn begin(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(READY, true))?;
    expect(stream, ACCEPT)?;
    stream.write_all(&control(START, true))
}

/// Writes a data frame.
pub(super) fn write(stream: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let len = u32::try_from(frame.len()).map_err(io::Error::other)?;
    stream.write_all(&len.to_be_bytes())?;
    stream.write_all(frame)
}

/// Says that nothing more comes, and waits until the reader has it all.
pub(super) fn end(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(STOP, false))?;
    expect(stream, FINISH)
}

fn control(kind: u32, with_content: bool) -> Vec<u8> {
    let mut frame = kind.to_be_bytes().to_vec();
    if with_content {
        frame.extend(FIELD_CONTENT.to_be_bytes());
        frame.extend((CONTENT.len() as u32).to_be_bytes());
        frame.extend(CONTENT);
    }
    let mut escaped = vec![0; 4];
    escaped.extend((frame.len() as u32).to_be_bytes());
    escaped.extend(frame);
    escaped
}

/// Reads the control frame that must come next. What content it names is ours or none: it was
/// asked for no other.
fn expect(stream: &mut impl Read, kind: u32) -> io::Result<()> {
    let mut head = [[0; 4]; 3];
    for part in &mut head {
        stream.read_exact(part)?;
    }
    let [escape, len, said] = head.map(u32::from_be_bytes);
    if escape != 0 || said != kind || !(4..=CONTROL_MAX).contains(&len) {
        let what = format!("the reader said {escape}/{said} where control frame {kind} belongs");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut fields = vec![0; (len - 4) as usize];
    stream.read_exact(&mut fields)
}
