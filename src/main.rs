//! The command line: see `riverrun help`.

fn main() -> std::process::ExitCode {
    riverrun::cli::main()
}
