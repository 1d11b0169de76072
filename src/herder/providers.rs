//! Config providers: `${file:/path:key}`, `${directory:/path:name}`, `${env:NAME}` in worker and
//! connector configurations, resolved when they are used and stored as written.
//!
//! Files may lie where nobody answers. So a running worker resolves on a thread of its own, with a
//! time limit ([`Providers::resolve_aside`]).

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use model::connector::Props;

use crate::files;

mod aside;

/// The providers that a worker's properties name; clones are the same.
#[derive(Clone, Default)]
pub struct Providers(Arc<BTreeMap<String, Provider>>);

enum Provider {
    File {
        allowed: Allowed,
    },
    Directory {
        allowed: Allowed,
    },
    Env {
        allowed: Option<fancy_regex::Regex>,
    },
    /// Asked with path and key.
    #[cfg(test)]
    StandIn(Box<StandIn>),
}

#[cfg(test)]
type StandIn = dyn Fn(&str, &str) -> String + Send + Sync;

/// `allowed.paths`: everything when it is not set.
struct Allowed(Vec<PathBuf>);

impl Allowed {
    fn new(list: Option<&String>) -> Result<Self, String> {
        let given = list.map_or("", String::as_str);
        if given.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let path = |text: &str| {
            let path = normal(Path::new(text));
            match (path.is_absolute(), path.exists()) {
                (false, _) => Err(format!("Path {} is not absolute", path.display())),
                (true, false) => Err(format!("Path {} does not exist", path.display())),
                (true, true) => Ok(path),
            }
        };
        Ok(Self(given.split(',').map(path).collect::<Result<_, _>>()?))
    }

    /// `..` is not followed out of an allowed directory. Links are, as in the JVM: mounted secrets
    /// commonly are links.
    fn allows(&self, path: &str) -> bool {
        let path = normal(Path::new(path));
        self.0.is_empty() || self.0.iter().any(|allowed| path.starts_with(allowed))
    }
}

/// Without `.` and `..`, by the path's text alone.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                // Above the root is the root.
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

impl Provider {
    /// The one that the worker's properties call `name`.
    fn new(worker: &Props, name: &str) -> Result<Self, String> {
        let key = format!("config.providers.{name}.class");
        let Some(class) = worker.get(&key) else {
            return Err(format!(
                "Missing required configuration \"{key}\" which has no default value."
            ));
        };
        let param = |param: &str| worker.get(&format!("config.providers.{name}.param.{param}"));
        let allowed = || {
            let key = format!("config.providers.{name}.param.allowed.paths");
            Allowed::new(param("allowed.paths"))
                .map_err(|wrong| format!("Invalid value for configuration {key}: {wrong}"))
        };
        let simple = class.strip_prefix(PREFIX).unwrap_or(class);
        Ok(match simple.strip_suffix("ConfigProvider").unwrap_or(simple) {
            "File" => Provider::File { allowed: allowed()? },
            "Directory" => Provider::Directory { allowed: allowed()? },
            "EnvVar" => {
                let whole = |pattern: &String| {
                    fancy_regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
                        format!(
                            "Invalid value {pattern} for configuration \
                             config.providers.{name}.param.allowlist.pattern: {error}"
                        )
                    })
                };
                Provider::Env { allowed: param("allowlist.pattern").map(whole).transpose()? }
            }
            _ => {
                return Err(format!(
                    "Invalid value {class} for configuration {key}: this version has the \
                     providers FileConfigProvider, DirectoryConfigProvider and \
                     EnvVarConfigProvider of {PREFIX}"
                ));
            }
        })
    }
}

/// More than a file of secrets needs.
const FILE_BYTES_MAX: u64 = 16 << 20;

const PREFIX: &str = "org.apache.kafka.common.config.provider.";

impl Providers {
    /// From `config.providers` and the keys under it.
    pub fn new(worker: &Props) -> Result<Self, String> {
        let mut providers = BTreeMap::new();
        let mut errors = Vec::new();
        let names = worker.get("config.providers").map_or("", String::as_str);
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match Provider::new(worker, name) {
                Ok(provider) => drop(providers.insert(name.to_owned(), provider)),
                Err(wrong) => errors.push(wrong),
            }
        }
        if errors.is_empty() { Ok(Self(Arc::new(providers))) } else { Err(errors.join("\n")) }
    }

    /// Resolves every value, once: what a provider gives is not looked through again. It may wait for
    /// a file system as long as that likes.
    pub fn resolve(&self, props: &Props) -> Result<Props, String> {
        let mut errors = Vec::new();
        let mut resolved = Props::new();
        for (key, value) in props {
            match self.resolve_text(value) {
                Ok(value) => drop(resolved.insert(key.clone(), value)),
                Err(wrong) => errors.push(wrong),
            }
        }
        if errors.is_empty() { Ok(resolved) } else { Err(errors.join("\n")) }
    }

    fn resolve_text(&self, text: &str) -> Result<String, String> {
        self.resolve_asking(text, &mut |_| {})
    }

    /// `asking` is told of each reference, without its braces, before the provider is asked.
    fn resolve_asking(&self, text: &str, asking: &mut dyn FnMut(&str)) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            let inner = from.get(2..).and_then(|inner| inner.split_once('}'));
            let Some((inner, after)) = inner else { break };
            out.push_str(before);
            asking(inner);
            match self.lookup(inner)? {
                Some(value) => out.push_str(&value),
                // As Kafka: what cannot be found stays as it is written.
                None => out.push_str(from.get(..inner.len() + 3).unwrap_or_default()),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn lookup(&self, inner: &str) -> Result<Option<String>, String> {
        let Some((provider, rest)) = inner.split_once(':') else { return Ok(None) };
        let (path, key) = rest.split_once(':').unwrap_or(("", rest));
        match self.0.get(provider) {
            None => Ok(None),
            Some(Provider::File { allowed }) => file(path, key, allowed),
            Some(Provider::Directory { allowed }) => directory(path, key, allowed),
            #[cfg(test)]
            Some(Provider::StandIn(ask)) => Ok(Some(ask(path, key))),
            Some(Provider::Env { .. }) if !path.is_empty() => Err(format!(
                "Path is not supported for EnvVarConfigProvider, invalid value '{path}'"
            )),
            Some(Provider::Env { allowed }) => {
                let allows = |pattern: &fancy_regex::Regex| pattern.is_match(key).unwrap_or(false);
                Ok(std::env::var(key).ok().filter(|_| allowed.as_ref().is_none_or(allows)))
            }
        }
    }
}

fn file(path: &str, key: &str, allowed: &Allowed) -> Result<Option<String>, String> {
    if path.is_empty() {
        return Ok(None);
    }
    if !allowed.allows(path) {
        tracing::warn!("The path {path} is not allowed to be accessed");
        return Ok(None);
    }
    let read = || -> Result<BTreeMap<String, String>, String> {
        let text = files::text(path, FILE_BYTES_MAX)?;
        parse_properties(&text)
    };
    let properties = read().map_err(|error| {
        tracing::error!("could not read properties from file {path}: {error}");
        format!("Could not read properties from file {path}")
    })?;
    Ok(properties.get(key).cloned())
}

fn directory(path: &str, key: &str, allowed: &Allowed) -> Result<Option<String>, String> {
    let dir = Path::new(path);
    // A key is the name of a file in the directory, not a path that leads elsewhere.
    if path.is_empty() || key.is_empty() || key.contains('/') || key == ".." {
        return Ok(None);
    }
    if !allowed.allows(path) {
        tracing::warn!("The path {path} is not allowed to be accessed");
        return Ok(None);
    }
    if !dir.is_dir() {
        tracing::warn!("The path {path} is not a directory");
        return Ok(None);
    }
    let file = dir.join(key);
    if !file.is_file() {
        return Ok(None);
    }
    files::text(&file, FILE_BYTES_MAX).map(Some).map_err(|error| {
        tracing::error!("could not read {}: {error}", file.display());
        format!("Could not read file {} for property {key}", file.display())
    })
}

/// Reads Java properties from a file as Kafka's tools do: ISO 8859-1.
pub(crate) fn read_properties(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    let text: String = bytes.into_iter().map(char::from).collect();
    parse_properties(&text)
}

/// Reads Java properties out of decoded text.
pub(crate) fn parse_properties(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut properties = BTreeMap::new();
    java_properties::PropertiesIter::new(ascii(text).as_bytes())
        .read_into(|key, value| {
            properties.insert(key, value);
        })
        .map_err(|error| error.to_string())?;
    Ok(properties)
}

/// The same text with every other character escaped, so that no encoding is guessed.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for char in text.chars() {
        if char.is_ascii() {
            out.push(char);
        } else {
            if escaped {
                // A backslash before an ordinary character says nothing.
                out.pop();
            }
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
        escaped = char == '\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_in_any_alphabet() {
        let read = parse_properties("a=gr\\u00fcn\nb = \\é\\\\é\n# c\nc:日本\n").unwrap();
        assert_eq!(read["a"], "grün");
        assert_eq!(read["b"], "é\\é");
        assert_eq!(read["c"], "日本");
    }

    #[test]
    fn paths_that_are_allowed() {
        let folder = std::env::temp_dir().join(format!("riverrun-allowed-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("in")).unwrap();
        let (inside, above) =
            (folder.join("in").display().to_string(), folder.display().to_string());
        let allowed = Allowed::new(Some(&format!("{inside},/etc/."))).unwrap();
        for (path, wanted) in [
            (format!("{inside}/a"), true),
            (format!("{inside}/b/../c"), true),
            (inside.clone(), true),
            ("/etc/hosts".to_owned(), true),
            (format!("{inside}/../a"), false),
            (format!("{inside}side/a"), false),
            (format!("{above}/a"), false),
            ("in/a".to_owned(), false),
        ] {
            assert_eq!(allowed.allows(&path), wanted, "{path}");
        }
        let wrong = |list: &str| Allowed::new(Some(&list.to_owned())).err().unwrap_or_default();
        assert_eq!(wrong("a"), "Path a is not absolute");
        assert_eq!(wrong("/no/such"), "Path /no/such does not exist");
        assert!(Allowed::new(None).unwrap().allows("/anything"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn references_are_resolved_once() {
        let dir = std::env::temp_dir().join(format!("riverrun-providers-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("secret.properties");
        std::fs::write(&path, "password=p${file:x:y}w\nuser=ünal\n").unwrap();
        let class = |name: &str| format!("{PREFIX}{name}ConfigProvider");
        let worker: Props = [
            ("config.providers", "file, dir,env".to_owned()),
            ("config.providers.file.class", class("File")),
            ("config.providers.dir.class", class("Directory")),
            ("config.providers.env.class", class("EnvVar")),
            ("config.providers.env.param.allowlist.pattern", "PATH|X".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let providers = Providers::new(&worker).unwrap();
        let file = path.display();
        let folder = dir.display();
        for (given, wanted) in [
            (format!("a${{file:{file}:password}}b"), "ap${file:x:y}wb".to_owned()),
            (
                format!("${{file:{file}:user}}/${{file:{file}:none}}"),
                format!("ünal/${{file:{file}:none}}"),
            ),
            (
                format!("${{dir:{folder}:secret.properties}}"),
                "password=p${file:x:y}w\nuser=ünal\n".into(),
            ),
            (format!("${{dir:{folder}:../x}}"), format!("${{dir:{folder}:../x}}")),
            ("${env:PATH}".into(), std::env::var("PATH").unwrap()),
            ("${env:HOME} ${other:a} ${x} ${".into(), "${env:HOME} ${other:a} ${x} ${".into()),
        ] {
            assert_eq!(providers.resolve_text(&given).unwrap(), wanted, "{given}");
        }
        let wrong = providers.resolve_text("${file:/no/such:k}").unwrap_err();
        assert_eq!(wrong, "Could not read properties from file /no/such");
        let wrong = providers.resolve_text("${env:x:PATH}").unwrap_err();
        assert_eq!(wrong, "Path is not supported for EnvVarConfigProvider, invalid value 'x'");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
