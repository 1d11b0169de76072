//! HTTP basic authentication: what `BasicAuthSecurityRestExtension` does in a JVM worker.
//!
//! Users and passwords stand in a properties file that a JAAS file names, under the entry
//! `KafkaConnect`, with the login module `PropertyFileLoginModule`. The JAAS file is named as for the
//! JVM: `-Djava.security.auth.login.config=…` in the environment's `KAFKA_OPTS` (or
//! `JAVA_TOOL_OPTIONS`), or, as there is no JVM here, the worker's property of that name.

use std::{collections::BTreeMap, path::Path};

use ring::digest::{SHA256, digest};

use crate::herder::providers::read_properties;

/// The one extension there is.
const EXTENSION: &str =
    "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension";
const MODULE: &str = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule";
const ENTRY: &str = "KafkaConnect";
const PROPERTY: &str = "java.security.auth.login.config";

/// What a request is told that may not be made.
pub(super) const REFUSED: &str = "User cannot access the resource.";

/// Who may use the API. Passwords are kept as hashes, which also makes comparing them take as long
/// for every password.
pub(super) struct Logins(Vec<BTreeMap<String, Hash>>);

type Hash = [u8; 32];

fn hash(text: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

impl Logins {
    /// From `rest.extension.classes`; `None` when no extension is named.
    pub(super) fn new(
        extensions: &[String],
        property: Option<&String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        if extensions.is_empty() {
            return Ok(None);
        }
        if let Some(other) = extensions.iter().find(|class| *class != EXTENSION) {
            return Err(format!(
                "Invalid value {other} for configuration rest.extension.classes: Class {other} \
                 could not be found; this version has {EXTENSION}, and can load no others, as they \
                 are Java"
            ));
        }
        let path = match property.cloned().or_else(|| named_by(environment)) {
            Some(path) => path,
            None => {
                return Err(format!(
                    "rest.extension.classes asks for logins, but no JAAS file is named: set \
                     {PROPERTY} in the worker's properties, or KAFKA_OPTS=-D{PROPERTY}=FILE in its \
                     environment"
                ));
            }
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("the JAAS file {path} cannot be read: {error}"))?;
        let files =
            password_files(&text).map_err(|wrong| format!("the JAAS file {path} {wrong}"))?;
        let logins: Vec<BTreeMap<String, Hash>> = files
            .iter()
            .map(|file| {
                let users = read_properties(Path::new(file)).map_err(|error| {
                    format!("the file of users {file}, named in {path}, cannot be read: {error}")
                })?;
                if users.is_empty() {
                    tracing::warn!(
                        "the file of users {file} is empty: everybody may use the REST API"
                    );
                }
                Ok(users.iter().map(|(user, password)| (user.clone(), hash(password))).collect())
            })
            .collect::<Result<_, String>>()?;
        Ok(Some(Self(logins)))
    }

    /// Whether a request with this `Authorization` may be made. The error is the JVM's, of a header
    /// that is not base64.
    pub(super) fn admits(&self, header: Option<&str>) -> Result<bool, String> {
        let given = header.map_or(Ok(None), credentials)?;
        // All files are asked, so that how long it takes says nothing about which knows the user.
        let admitted = self.0.iter().fold(false, |admitted, users| {
            users.is_empty() | given.as_ref().is_some_and(|given| knows(users, given)) | admitted
        });
        Ok(admitted)
    }
}

fn knows(users: &BTreeMap<String, Hash>, (user, password): &(String, String)) -> bool {
    let nobody = [0; 32];
    let stored = users.get(user).unwrap_or(&nobody);
    let differs = stored.iter().zip(hash(password)).fold(0, |sum, (a, b)| sum | (a ^ b));
    users.contains_key(user) & (differs == 0)
}

/// User and password; `None` for what is no basic authentication.
pub(super) fn credentials(header: &str) -> Result<Option<(String, String)>, String> {
    let Some((scheme, encoded)) = header.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&model::java::base64(encoded)?).into_owned();
    let given = text.split_once(':').filter(|(user, _)| !user.is_empty());
    Ok(given.map(|(user, password)| (user.to_owned(), password.to_owned())))
}

/// The JAAS file among the options for the JVM; the last one counts.
fn named_by(environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    let option = format!("-D{PROPERTY}=");
    let all = ["KAFKA_OPTS", "JAVA_TOOL_OPTIONS"].into_iter().filter_map(environment);
    let named = all.filter_map(|options| {
        let words = options.split_whitespace().rev();
        let mut paths = words.filter_map(|word| {
            let word = word.trim_matches(['"', '\'']);
            word.strip_prefix(&option).map(|path| path.trim_matches(['"', '\'']).to_owned())
        });
        paths.next()
    });
    named.into_iter().next()
}

/// The files of users that the entry `KafkaConnect` names.
pub(super) fn password_files(jaas: &str) -> Result<Vec<String>, String> {
    let words = words(jaas)?;
    let mut words = words.iter();
    let mut files = None;
    while let Some(entry) = words.next() {
        if words.next().map(Word::text) != Some("{") {
            return Err(format!("has no \"{{\" after {:?}", entry.text()));
        }
        let mut modules = Vec::new();
        loop {
            match words.next().map(Word::text) {
                Some("}") => break,
                Some(module) => modules.push(module_of(module, &mut words)?),
                None => return Err("is cut off within an entry".to_owned()),
            }
        }
        if words.next().map(Word::text) != Some(";") {
            return Err("has an entry that does not end with \"};\"".to_owned());
        }
        if entry.text() == ENTRY {
            files = Some(modules);
        }
    }
    let modules = files.ok_or_else(|| format!("has no entry {ENTRY}"))?;
    let file = |(module, options): (&str, BTreeMap<&str, String>)| {
        if module != MODULE {
            return Err(format!(
                "names the login module {module} under {ENTRY}; this version has {MODULE}"
            ));
        }
        let file = options.get("file").filter(|file| !file.is_empty());
        file.cloned()
            .ok_or_else(|| format!("has no option file for the login module under {ENTRY}"))
    };
    modules.into_iter().map(file).collect()
}

type Module<'w> = (&'w str, BTreeMap<&'w str, String>);

/// `class flag name="value" …;`
fn module_of<'w>(
    class: &'w str,
    words: &mut impl Iterator<Item = &'w Word>,
) -> Result<Module<'w>, String> {
    let flags = ["required", "requisite", "sufficient", "optional"];
    let flag = words.next().map_or("", Word::text);
    if !flags.iter().any(|known| flag.eq_ignore_ascii_case(known)) {
        return Err(format!("has no control flag after the login module {class}"));
    }
    let mut options = BTreeMap::new();
    loop {
        let name = words.next().map_or("", Word::text);
        if name == ";" {
            return Ok((class, options));
        }
        let (equals, value) = (words.next().map(Word::text), words.next());
        let (Some("="), Some(value)) = (equals, value) else {
            return Err(format!("has an option without a value after the login module {class}"));
        };
        options.insert(name, value.text().to_owned());
    }
}

enum Word {
    Plain(String),
    Quoted(String),
}

impl Word {
    fn text(&self) -> &str {
        match self {
            Word::Plain(text) | Word::Quoted(text) => text,
        }
    }
}

/// Words, texts in quotes, and the signs `{ } ; =`; comments are left out.
fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            _ if char.is_whitespace() => {}
            '#' => while chars.next_if(|char| *char != '\n').is_some() {},
            '/' if chars.peek() == Some(&'/') => {
                while chars.next_if(|char| *char != '\n').is_some() {}
            }
            '/' if chars.peek() == Some(&'*') => {
                let mut before = ' ';
                loop {
                    match chars.next() {
                        Some('/') if before == '*' => break,
                        Some(char) => before = char,
                        None => return Err("has a comment without an end".to_owned()),
                    }
                }
            }
            '{' | '}' | ';' | '=' => words.push(Word::Plain(char.to_string())),
            '"' | '\'' => {
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some('\\') => word.extend(chars.next()),
                        Some(end) if end == char => break,
                        Some(char) => word.push(char),
                        None => return Err("has a quote without an end".to_owned()),
                    }
                }
                words.push(Word::Quoted(word));
            }
            _ => {
                let mut word = String::from(char);
                let part = |char: &char| !char.is_whitespace() && !"{};=\"'".contains(*char);
                while let Some(char) = chars.next_if(part) {
                    word.push(char);
                }
                words.push(Word::Plain(word));
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    #[test]
    fn files_named_by_jaas() {
        for (text, wanted) in [
            (format!("KafkaConnect {{ {MODULE} required file=\"/a b/c\"; }};"), "/a b/c"),
            (
                format!(
                    "// one\nOther {{ x.Y optional; }}; /* two */\nKafkaConnect{{\n{MODULE} \
                     Sufficient debug=true file='/c';\n{MODULE} required file=/d;}};"
                ),
                "/c|/d",
            ),
            ("Other { x.Y required; };".to_owned(), "!has no entry KafkaConnect"),
            (
                "KafkaConnect { x.Y required; };".to_owned(),
                "!names the login module x.Y under KafkaConnect",
            ),
            (format!("KafkaConnect {{ {MODULE} required; }};"), "!has no option file"),
            (format!("KafkaConnect {{ {MODULE} file=x; }};"), "!has no control flag"),
            (format!("KafkaConnect {{ {MODULE} required file"), "!has an option without a value"),
            ("KafkaConnect {".to_owned(), "!is cut off"),
            ("KafkaConnect { \"x".to_owned(), "!has a quote without an end"),
            ("KafkaConnect { x.Y required; }".to_owned(), "!has an entry that does not end"),
        ] {
            let found = match password_files(&text) {
                Ok(files) => files.join("|"),
                Err(wrong) => format!("!{wrong}"),
            };
            assert!(found.starts_with(wanted), "{text}: {found}");
        }
    }

    #[test]
    fn the_file_is_named_as_for_the_jvm() {
        let named = |variable: &'static str, text: &'static str| {
            named_by(|name| (name == variable).then(|| text.to_owned()))
        };
        let option =
            "-Xmx1g -Djava.security.auth.login.config=/a -Djava.security.auth.login.config=\"/b\"";
        assert_eq!(named("KAFKA_OPTS", option).as_deref(), Some("/b"));
        assert_eq!(named("JAVA_TOOL_OPTIONS", option).as_deref(), Some("/b"));
        assert_eq!(named("KAFKA_OPTS", "-Xmx1g"), None);
        let class = |name: &str| [name.to_owned()];
        assert!(Logins::new(&[], None, |_| None).unwrap().is_none());
        let error = |class: &[String]| Logins::new(class, None, |_| None).err().unwrap();
        assert!(error(&class("x.Y")).contains("Class x.Y could not be found"));
        assert!(error(&class(EXTENSION)).contains("no JAAS file is named"));
    }

    /// Answers are those of a JVM worker.
    #[test]
    fn who_is_admitted() {
        let users = [("admin", "s3cret:with colon"), ("empty", "")];
        let users = users.map(|(user, password)| (user.to_owned(), hash(password))).into();
        let logins = Logins(vec![users]);
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (header, wanted) in [
            (basic("admin:s3cret:with colon"), "true"),
            (basic("admin:s3cret:with colon").replace("Basic", "bASIC"), "true"),
            (basic("empty:"), "true"),
            (basic("admin:wrong"), "false"),
            (basic("admin"), "false"),
            (basic(":x"), "false"),
            (basic("nobody:"), "false"),
            ("Bearer x".to_owned(), "false"),
            ("Basic".to_owned(), "false"),
            ("Basic !!!".to_owned(), "Illegal base64 character 21"),
            ("Basic  YQ==".to_owned(), "Illegal base64 character 20"),
            ("Basic YQ=".to_owned(), "Input byte array has wrong 4-byte ending unit"),
            ("Basic YQ==x".to_owned(), "Input byte array has incorrect ending byte at 4"),
            ("Basic Y".to_owned(), "Last unit does not have enough valid bits"),
        ] {
            let found = match logins.admits(Some(&header)) {
                Ok(admitted) => admitted.to_string(),
                Err(wrong) => wrong,
            };
            assert_eq!(found, wanted, "{header}");
        }
        assert_eq!(logins.admits(None), Ok(false));
        assert_eq!(Logins(vec![BTreeMap::new()]).admits(None), Ok(true));
    }
}
