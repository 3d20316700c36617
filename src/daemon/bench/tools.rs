//! Programs of others, where they are installed.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::case::Case;

/// Where the programs are; `None` is to look into PATH.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tools {
    pub(super) wg: Option<PathBuf>,
    pub(super) boringtun_cli: Option<PathBuf>,
    pub(super) wireguard_go: Option<PathBuf>,
}

impl Tools {
    /// wireguard-tools.
    ///
    /// # Errors
    /// When it is not there, with how to get it.
    pub(super) fn wg(&self) -> io::Result<PathBuf> {
        find("wg", self.wg.as_deref(), "apt-get install wireguard-tools, or --wg FILE")
    }

    /// The program that makes a case's device.
    ///
    /// # Errors
    /// When it is not there, with how to get it.
    pub(super) fn maker(&self, case: Case) -> io::Result<PathBuf> {
        match case {
            Case::WireguardGo => find(
                "wireguard-go",
                self.wireguard_go.as_deref(),
                "apt-get install wireguard-go, or --wireguard-go FILE",
            ),
            _ => find(
                "boringtun-cli",
                self.boringtun_cli.as_deref(),
                "cargo install boringtun-cli, or --boringtun-cli FILE",
            ),
        }
    }
}

fn find(program: &str, given: Option<&Path>, remedy: &str) -> io::Result<PathBuf> {
    let is_there = |path: &PathBuf| path.is_file();
    let (found, what) = match given {
        Some(path) => {
            (Some(path.to_path_buf()).filter(is_there), format!("there is no {}", path.display()))
        }
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            (in_path(program, &path).find(is_there), format!("{program} is not in PATH"))
        }
    };
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{what} ({remedy})")))
}

fn in_path(program: &str, path: &OsStr) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(path).map(move |directory| directory.join(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_how_to_get_it() {
        let nowhere = Some(PathBuf::from("/nonexistent/wg"));
        let tools = Tools { wg: nowhere.clone(), boringtun_cli: nowhere, wireguard_go: None };
        let wg = tools.wg().unwrap_err().to_string();
        assert_eq!(
            wg,
            "there is no /nonexistent/wg (apt-get install wireguard-tools, or --wg FILE)"
        );
        let maker = tools.maker(Case::BoringtunCli).unwrap_err().to_string();
        assert!(maker.contains("cargo install boringtun-cli"), "{maker}");
        let shell = find("sh", None, "").unwrap();
        assert_eq!(find("x", Some(&shell), "").unwrap(), shell);
        assert!(find("no such program", None, "").unwrap_err().to_string().contains("PATH"));
    }
}
