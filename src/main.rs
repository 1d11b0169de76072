//! The command line: see `riverrun help`.

/// A record costs the Kafka client half a dozen small allocations (message, headers), made on one
/// thread and freed on another; the C library's allocator is slow at just that. The feature
/// `unprefixed_malloc_on_supported_platforms` makes the C code of librdkafka use it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    riverrun::cli::main()
}
