//! The one door to the terminal: data on stdout, errors on stderr, JSON or text, colour or not.
//!
//! A reader that goes away (`tradewind query … | head -1`) ends the output, not the command. What is
//! shown came from files, clients and other servers: of control characters only colours get through.

use super::Exit;
use crate::admin::schema::SCHEMA_VERSION;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Options that every command understands.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct OutputArgs {
    /// Print JSON, for machines.
    #[arg(long, global = true)]
    pub json: bool,
    /// Whether to use colour: always, never, or where it can be seen and NO_COLOR is not set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: Colour,
}

/// Where colour goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// To terminals, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Everywhere but into JSON.
    Always,
    /// Nowhere.
    Never,
}

/// What a piece of text means; how that looks is the terminal's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// A heading.
    Strong,
    /// Beside the point.
    Faint,
}

impl Paint {
    /// The SGR parameter (ECMA-48 §8.3.117).
    const fn sgr(self) -> u8 {
        match self {
            Paint::Good => 32,
            Paint::Bad => 31,
            Paint::Strong => 1,
            Paint::Faint => 2,
        }
    }
}

/// Where a command writes.
pub struct Out {
    json: bool,
    colour: bool,
    /// Whether errors go to a terminal.
    live: bool,
    /// Whether data go to the process's own stdout, and whether that is a terminal.
    own: bool,
    terminal: bool,
    /// Whether something was drawn that the next picture replaces.
    drawn: bool,
    data: Box<dyn Write + Send>,
    errors: Box<dyn Write + Send>,
    /// Why writing data stopped.
    broken: Option<io::Error>,
}

impl Out {
    /// The process's own stdout and stderr.
    pub fn standard(args: OutputArgs) -> Self {
        Out {
            json: args.json,
            colour: !args.json
                && match args.color {
                    Colour::Auto => colour_wanted(&io::stdout()),
                    Colour::Always => true,
                    Colour::Never => false,
                },
            live: io::stderr().is_terminal(),
            own: true,
            terminal: io::stdout().is_terminal(),
            drawn: false,
            data: Box::new(io::stdout()),
            errors: Box::new(io::stderr()),
            broken: None,
        }
    }

    /// Plain output into writers of the caller's.
    pub fn into_writers(
        json: bool,
        data: impl Write + Send + 'static,
        errors: impl Write + Send + 'static,
    ) -> Self {
        let (data, errors) = (Box::new(data), Box::new(errors));
        Out {
            json,
            colour: false,
            live: false,
            own: false,
            terminal: false,
            drawn: false,
            data,
            errors,
            broken: None,
        }
    }

    /// Whether a machine reads: then one [`Out::json`] is the whole output.
    pub fn wants_json(&self) -> bool {
        self.json
    }

    /// Whether colour is wanted; where it is, so are signs beyond ASCII.
    pub fn wants_colour(&self) -> bool {
        self.colour
    }

    /// Whether data goes to a terminal, where it can be drawn over.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Lines of data in place of the `before` lines that were drawn last.
    pub fn draw_over(&mut self, before: usize, lines: &[String]) {
        if before > 0 {
            // CUU and ED (ECMA-48 §8.3.22, §8.3.39): up to the first of them, and away.
            let up = format!("\x1b[{before}A\x1b[J");
            if self.broken.is_none() {
                self.broken = write!(self.data, "{up}").err();
            }
        }
        lines.iter().for_each(|line| self.line(line));
    }

    /// One line of data for people.
    pub fn line(&mut self, text: impl Display) {
        if self.broken.is_none() {
            self.broken = writeln!(self.data, "{}", tame(&text.to_string())).err();
        }
    }

    /// The data for machines, in its promised form: an object that says which version of it.
    pub fn schema(&mut self, data: &impl Serialize) {
        if let Some(value) = self.versioned(data) {
            self.line(format_args!("{value:#}"));
        }
    }

    /// Several of a kind, under their name.
    pub fn list(&mut self, name: &str, all: &impl Serialize) {
        self.schema(&BTreeMap::from([(name, all)]));
    }

    /// The same as [`Out::schema`] on a line of its own, for what has no end.
    pub fn schema_line(&mut self, data: &impl Serialize) {
        if let Some(value) = self.versioned(data) {
            self.line(value);
            // Whoever follows waits for this very line.
            self.flush();
        }
    }

    /// `data` with its version, where it does not say that by itself.
    fn versioned(&mut self, data: &impl Serialize) -> Option<Value> {
        match serde_json::to_value(data) {
            Ok(mut value) => {
                if let Value::Object(fields) = &mut value {
                    fields.entry("schema_version").or_insert_with(|| SCHEMA_VERSION.into());
                }
                Some(value)
            }
            Err(error) => {
                self.error(format_args!("cannot be written as JSON: {error}"), None);
                None
            }
        }
    }

    fn flush(&mut self) {
        if self.broken.is_none() {
            self.broken = self.data.flush().err();
        }
    }

    /// Whether a picture can be drawn over the one before.
    pub fn redraws(&self) -> bool {
        self.terminal && !self.json
    }

    /// Draws what `show` writes in the place of what was drawn before, as much as there is room for.
    pub fn redraw(&mut self, show: impl FnOnce(&mut Out)) {
        let page = Picture::default();
        let mut inner = Out::into_writers(false, page.clone(), io::sink());
        inner.colour = self.colour;
        show(&mut inner);
        drop(inner);
        let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(24, |size| size.ws_row);
        let text = page.text();
        // ED clears the screen once; then EL what was longer, and no line is wrapped (DECAWM).
        let mut picture =
            String::from(if self.drawn { "\x1b[?7l\x1b[H" } else { "\x1b[2J\x1b[?7l\x1b[H" });
        for line in text.lines().take(usize::from(rows).saturating_sub(1)) {
            picture.extend([line, "\x1b[K\r\n"]);
        }
        picture += "\x1b[J\x1b[?7h";
        self.drawn = true;
        if self.broken.is_none() {
            self.broken = self.data.write_all(picture.as_bytes()).err();
        }
        self.flush();
    }

    /// Waits, or less if nobody reads any more.
    pub fn pause(&mut self, time: Duration) {
        use rustix::event::{PollFd, PollFlags, poll};
        if !self.own {
            return thread::sleep(time);
        }
        let stdout = io::stdout();
        // Nothing is asked for: what is told all the same is that the other end is gone.
        let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
        let time = time.try_into().ok();
        match poll(&mut ends, time.as_ref()) {
            Ok(0) => {}
            Ok(_) => self.broken = Some(ErrorKind::BrokenPipe.into()),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }

    /// Whether nobody reads any more.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// A drawn problem, as it is, where errors go.
    pub fn complain(&mut self, text: &str) {
        // A stderr that cannot be written leaves nobody to tell.
        let _ = write!(self.errors, "{}", tame(text));
    }

    /// `error: …`, and how to get out of it where that is known.
    pub fn error(&mut self, message: impl Display, hint: Option<&str>) {
        // A stderr that cannot be written leaves nobody to tell.
        let _ = writeln!(self.errors, "error: {}", tame(&message.to_string()));
        if let Some(hint) = hint {
            let _ = writeln!(self.errors, "hint: {}", tame(hint));
        }
    }

    /// How it goes, on a line of a terminal that the next call replaces; nothing elsewhere.
    pub fn progress(&mut self, text: &str) {
        if self.live {
            // A terminal that went away leaves nobody to tell. EL erases what was longer.
            let _ = write!(self.errors, "\r{text}\x1b[K").and_then(|()| self.errors.flush());
        }
    }

    /// Takes that line away.
    pub fn progress_ends(&mut self) {
        self.progress("");
    }

    /// `text` in the colour of its meaning, where colour is wanted.
    pub fn paint(&self, paint: Paint, text: impl Display) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", paint.sgr()) } else { text.to_string() }
    }

    /// Flushes; the command's exit stands unless its output was lost (a full disk, not a reader
    /// that left).
    pub fn finish(mut self, exit: Exit) -> Exit {
        let failure = self.broken.take().or_else(|| self.data.flush().err());
        match failure {
            Some(e) if e.kind() != ErrorKind::BrokenPipe => {
                self.error(format_args!("cannot write the output: {e}"), None);
                Exit::Failed
            }
            _ => exit,
        }
    }
}

/// `text` without what would make a terminal do more than show it: a question mark for each control
/// character, but for ends of lines, tabs and colours (SGR).
fn tame(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let (mut tamed, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let end = sgr(rest).unwrap_or(c.len_utf8());
        match end > c.len_utf8() || is_plain(c) {
            true => tamed.push_str(&rest[..end]),
            false => tamed.push('?'),
        }
        rest = &rest[end..];
    }
    Cow::Owned(tamed)
}

/// The length of the change of colour that `text` begins with.
fn sgr(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then_some("\x1b[".len() + end + 1)
}

/// What is drawn, before it is.
#[derive(Clone, Default)]
struct Picture(Arc<Mutex<Vec<u8>>>);

impl Picture {
    fn text(&self) -> String {
        let drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&drawn).into_owned()
    }
}

impl Write for Picture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Colour goes only to terminals, and not with `NO_COLOR` set to anything (no-color.org).
pub(super) fn colour_wanted(stream: &impl IsTerminal) -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && stream.is_terminal()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A writer whose text can be read afterwards.
    #[derive(Clone, Default)]
    pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn data_and_errors_go_their_own_ways() {
        let (data, errors) = (Page::default(), Page::default());
        let mut out = Out::into_writers(false, data.clone(), errors.clone());
        out.line("192.0.2.1");
        out.error("no such zone", Some("zones are listed by `tradewind status`"));
        assert_eq!(out.finish(Exit::Pending), Exit::Pending);
        assert_eq!(data.text(), "192.0.2.1\n");
        assert_eq!(
            errors.text(),
            "error: no such zone\nhint: zones are listed by `tradewind status`\n"
        );
    }

    #[test]
    fn a_reader_that_left_is_no_failure_but_a_full_disk_is() {
        for (kind, exit) in
            [(ErrorKind::BrokenPipe, Exit::Well), (ErrorKind::StorageFull, Exit::Failed)]
        {
            let mut out = Out::into_writers(false, Failing(kind), io::sink());
            out.line("lost");
            assert_eq!(out.finish(Exit::Well), exit, "{kind:?}");
        }
    }

    #[test]
    fn what_others_say_does_nothing_to_the_terminal() {
        for (said, shown) in [
            ("\x1b[1mns2:\x1b[0m\tok\nnext", "\x1b[1mns2:\x1b[0m\tok\nnext"),
            ("\x1b]0;title\x07", "?]0;title?"),
            ("\x1b[2J\x1b[31;1mé\x1b[", "?[2J\x1b[31;1mé?["),
            ("a\rb\u{9b}2Jc\x7f\0", "a?b?2Jc??"),
            ("\x1b[3", "?[3"),
        ] {
            let (data, errors) = (Page::default(), Page::default());
            let mut out = Out::into_writers(false, data.clone(), errors.clone());
            out.line(said);
            out.error(said, Some(said));
            assert_eq!(data.text(), format!("{shown}\n"));
            assert_eq!(errors.text(), format!("error: {shown}\nhint: {shown}\n"));
        }
    }

    #[test]
    fn colour_is_written_only_where_it_is_wanted() {
        let mut out = Out::into_writers(false, io::sink(), io::sink());
        assert_eq!(out.paint(Paint::Bad, "down"), "down");
        out.colour = true;
        assert_eq!(out.paint(Paint::Bad, "down"), "\x1b[31mdown\x1b[0m");
    }
}
