//! argv → exit code.

/// Until the command line arrives: `serve -C DIR [--ready-file PATH]` and `demo`.
fn main() -> std::process::ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args: Vec<String> = std::env::args().collect();
    let after =
        |flag: &str| args.iter().position(|a| a == flag).map(|i| args[i + 1].clone().into());
    let outcome = match args.get(1).map(String::as_str) {
        Some("demo") => tradewind::daemon::demo::demo(),
        _ => tradewind::daemon::serve(&tradewind::daemon::ServeOptions {
            dir: after("-C").unwrap_or_else(|| ".".into()),
            ready_file: after("--ready-file"),
        }),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            tracing::error!("{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
