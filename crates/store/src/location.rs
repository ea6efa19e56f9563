//! Store URLs, read once. A [`Location`] that exists is well formed.

use std::path::PathBuf;

use object_store::path::Path;
use url::Url;

use crate::error::OpenError;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    File { root: PathBuf },
    Memory { name: String, prefix: Path },
    S3 { bucket: String, prefix: Path },
    Gs { bucket: String, prefix: Path },
    Az { container: String, prefix: Path },
}

impl Location {
    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        let malformed = |what| OpenError::Malformed { url: text.to_owned(), what };
        let url = Url::parse(text).map_err(|_| OpenError::NotAUrl { url: text.to_owned() })?;
        if !url.username().is_empty() || url.password().is_some() {
            // The text is not repeated: it may hold a secret.
            return Err(OpenError::Malformed {
                url: format!("{}://…", url.scheme()),
                what: "credentials do not belong in a URL; they are taken from the environment",
            });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(malformed("a store URL has no '?' and no '#' (write %3F or %23 in names)"));
        }
        if url.port().is_some() {
            return Err(malformed(
                "a store URL has no port; an endpoint is set by AWS_ENDPOINT_URL_S3 or its like",
            ));
        }
        if url.scheme() == "file" {
            return Self::file(text, &url).ok_or_else(|| {
                malformed(
                    "name an absolute directory, with three slashes: file:///var/lib/orgtrail",
                )
            });
        }
        let name = url.host_str().unwrap_or_default().to_owned();
        let named = |what| if name.is_empty() { Err(malformed(what)) } else { Ok(name.clone()) };
        let prefix = || {
            Path::from_url_path(url.path())
                .map_err(|_| malformed("its path has an empty, '.' or '..' part"))
        };
        match url.scheme() {
            "memory" => {
                Ok(Self::Memory { name: named("name it: memory://name")?, prefix: prefix()? })
            }
            "s3" => Ok(Self::S3 {
                bucket: named("name a bucket: s3://bucket/prefix")?,
                prefix: prefix()?,
            }),
            "gs" => Ok(Self::Gs {
                bucket: named("name a bucket: gs://bucket/prefix")?,
                prefix: prefix()?,
            }),
            "az" => Ok(Self::Az {
                container: named("name a container: az://container/prefix")?,
                prefix: prefix()?,
            }),
            scheme => {
                Err(OpenError::UnknownScheme { url: text.to_owned(), scheme: scheme.to_owned() })
            }
        }
    }

    fn file(text: &str, url: &Url) -> Option<Self> {
        // `file:x` and `file://x/y` parse as URLs of another directory than meant.
        if !text.to_ascii_lowercase().starts_with("file:///") {
            return None;
        }
        let root = url.to_file_path().ok()?;
        (root.parent().is_some()).then_some(Self::File { root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::from(text)
    }

    #[test]
    fn each_url_is_one_place_or_says_what_to_write_instead() {
        let check = |text: &str, expected: Location| {
            assert_eq!(Location::parse(text).expect(text), expected, "{text}");
        };
        let file = |root: &str| Location::File { root: PathBuf::from(root) };
        check("file:///srv/trail", file("/srv/trail"));
        check("file:///srv/trail/", file("/srv/trail/"));
        check("file:///srv/a%20b%23c", file("/srv/a b#c"));
        check("file:///srv/a b", file("/srv/a b"));
        check("memory://x", Location::Memory { name: "x".into(), prefix: path("") });
        check("s3://logs", Location::S3 { bucket: "logs".into(), prefix: path("") });
        check("s3://logs/", Location::S3 { bucket: "logs".into(), prefix: path("") });
        check("s3://logs/a/b/", Location::S3 { bucket: "logs".into(), prefix: path("a/b") });
        check("gs://logs/a", Location::Gs { bucket: "logs".into(), prefix: path("a") });
        check("az://logs/a", Location::Az { container: "logs".into(), prefix: path("a") });
    }

    #[test]
    fn a_bad_url_is_refused_with_what_to_write_instead() {
        let check = |text: &str, part: &str| {
            let said = Location::parse(text).expect_err(text).to_string();
            assert!(said.contains(part), "{text}: {said}");
        };
        check("./data", "file:///absolute/directory");
        check("/srv/trail", "file:///absolute/directory");
        check("", "file:///absolute/directory");
        check("file:data", "three slashes");
        check("file://data/trail", "three slashes");
        check("file:///", "three slashes");
        check("http://bucket/x", "use file, s3, gs, az or memory");
        check("s3:///prefix", "name a bucket");
        check("s3://bucket/a//b", "an empty");
        check("s3://bucket?region=x", "no '?'");
        check("s3://bucket:9000/x", "AWS_ENDPOINT_URL_S3");
        check("memory://", "memory://name");
        let said = Location::parse("s3://AKIA:secret@bucket/x").expect_err("secret").to_string();
        assert!(!said.contains("secret") && said.contains("environment"), "{said}");
    }
}
