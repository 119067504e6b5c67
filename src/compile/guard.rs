//! `[rrl]`, `[access]` and what `[server]` says of cookies, ECS and of itself.

use super::SecretReader;
use crate::{
    config::{
        Problem, Problems, Spanned,
        guard::{AccessDef, CookiesDef, RrlDef},
        server::ServerFile,
    },
    guard::{
        Rules,
        access::Access,
        cookie::{CookieRules, Secrets},
        limit::{LimitRules, Rate},
        networks::Networks,
    },
    snapshot::identity::Identity,
    wire::Nsid,
};
use ipnet::IpNet;
use std::{collections::HashMap, path::Path, sync::Arc};

/// Who may ask, and who the server says it is.
pub(super) struct Doors {
    pub guard: Rules,
    pub identity: Identity,
}

/// Compiles what `file` says of it.
pub(super) fn compile(
    file: &ServerFile,
    secret: SecretReader<'_>,
    problems: &mut Problems,
) -> Doors {
    let told = &file.server.identity;
    let text = |text: &Option<String>| text.as_deref().and_then(Identity::text);
    Doors {
        guard: Rules {
            access: access(&file.file, &file.access, problems),
            ecs_trusted: file
                .server
                .ecs_trusted
                .as_deref()
                .map(|nets| LimitRules::exempt(plain(nets))),
            cookies: cookies(&file.file, &file.server.cookies, secret, problems),
            limits: limits(&file.rrl),
        },
        identity: Identity {
            nsid: told.nsid.as_deref().and_then(Nsid::new),
            version: text(&told.version),
            id: text(&told.id),
        },
    }
}

fn plain(nets: &[Spanned<IpNet>]) -> impl Iterator<Item = IpNet> {
    nets.iter().map(|net| *net.get_ref())
}

fn limits(written: &RrlDef) -> LimitRules {
    let usual = LimitRules::default();
    let window = written.window.unwrap_or(LimitRules::WINDOW);
    let rate = |written: Option<u32>, usual| Rate::new(written.unwrap_or(usual), window);
    LimitRules {
        rate: rate(written.per_second, LimitRules::PER_SECOND),
        slip: written.slip.unwrap_or(LimitRules::SLIP),
        errors: rate(written.errors_per_second, LimitRules::ERRORS_PER_SECOND),
        exempt: match &written.exempt {
            Some(nets) => LimitRules::exempt(plain(nets)),
            None => usual.exempt,
        },
    }
}

fn access(
    file: &Arc<Path>,
    written: &AccessDef,
    problems: &mut Problems,
) -> Option<Networks<Access>> {
    let lists = [
        (&written.allow, Access::Allow),
        (&written.deny, Access::Deny),
        (&written.drop, Access::Drop),
    ];
    let mut first: HashMap<IpNet, &Spanned<IpNet>> = HashMap::new();
    let mut all = Vec::new();
    for (list, access) in lists {
        for net in list {
            if let Some(first) = first.get(net.get_ref()) {
                let message = format!("{} is listed twice under [access]", net.get_ref());
                let problem = Problem::error(file, net.span(), message);
                problems.push(problem.related(file, first.span(), "first here"));
            }
            first.insert(*net.get_ref(), net);
            all.push((*net.get_ref(), access));
        }
    }
    // Whoever lists who may ask means nobody else.
    let otherwise = if written.allow.is_empty() { Access::Allow } else { Access::Deny };
    (!all.is_empty()).then(|| Networks::new(all, otherwise))
}

fn cookies(
    file: &Arc<Path>,
    written: &CookiesDef,
    secret: SecretReader<'_>,
    problems: &mut Problems,
) -> Option<CookieRules> {
    let CookiesDef::On { secret_file, require } = written else { return None };
    let secrets = secret_file.as_ref().and_then(|path| {
        let read = secret(path.get_ref());
        let read = read.and_then(|text| text.map(|text| Secrets::parse(&text)).transpose());
        read.map_err(|why| {
            let message = format!("{}: {why}", path.get_ref().display());
            problems.push(Problem::error(file, path.span(), message).help(
                "a secret of cookies is 32 hexadecimal digits on a line, such as \
                 `(umask 077; openssl rand -hex 16 > secrets/cookies)` makes; the first signs, \
                 all of them verify",
            ));
        })
        .ok()
        .flatten()
    });
    Some(CookieRules { secrets, require: *require })
}
