//! What a service token allows, from its making to its end.

use secrecy::ExposeSecret as _;

use super::*;

struct Counting(std::sync::atomic::AtomicU8);
impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        Ok(())
    }
}

fn entropy() -> Counting {
    Counting(0.into())
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn asked(scopes: &[&str]) -> NewServiceToken {
    let scopes = scopes.iter().map(|scope| scope.parse().expect("a scope")).collect();
    let (apps, workspaces) = (Vec::new(), Vec::new());
    NewServiceToken { id: None, scopes, apps, workspaces, lifetime: Some(Duration::from_secs(60)) }
}

fn code(token: &ServiceToken, scope: &str, app: Option<&str>, now: u64) -> Option<Code> {
    let app = app.map(|app| app.parse().expect("id"));
    token.allows(scope, app.as_ref(), at(now)).err().map(|denial| denial.code)
}

#[test]
fn it_allows_its_scopes_until_it_ends() {
    let (mut token, secret) = ServiceToken::new(asked(&[Scope::APPS_READ]), &entropy(), at(0)).expect("a token");
    assert!(secret.expose_secret().starts_with(PREFIX));
    assert_eq!(token.digest, SecretDigest::of(&secret));
    assert_eq!(code(&token, Scope::APPS_READ, None, 59), None);
    assert_eq!(code(&token, Scope::APPS_WRITE, None, 59), Some(Code::MissingScope));
    assert_eq!(code(&token, Scope::APPS_READ, None, 60), Some(Code::ServiceTokenExpired));
    token.revoke("leaked".into(), at(5));
    token.revoke("again".into(), at(6));
    assert_eq!(code(&token, Scope::APPS_READ, None, 6), Some(Code::ServiceTokenRevoked));
    assert_eq!(token.revoked, Some(Revoked { at: at(5), reason: "leaked".into() }));
}

#[test]
fn one_of_an_app_is_of_that_app_alone() {
    let asked = NewServiceToken { apps: vec!["a".parse().expect("id")], ..asked(&[Scope::REVOKE]) };
    let (token, _) = ServiceToken::new(asked, &entropy(), at(0)).expect("a token");
    assert_eq!(code(&token, Scope::REVOKE, Some("a"), 1), None);
    assert_eq!(code(&token, Scope::REVOKE, Some("b"), 1), Some(Code::MissingScope));
    assert_eq!(code(&token, Scope::REVOKE, None, 1), Some(Code::MissingScope), "what is of no app is of all");
}

#[test]
fn nobody_makes_more_of_their_rights() {
    let (one, other): (AppId, AppId) = ("a".parse().expect("id"), "b".parse().expect("id"));
    let rights = [Scope::TOKENS_WRITE, Scope::REVOKE];
    let asked = NewServiceToken { apps: vec![one.clone()], ..asked(&rights) };
    let (token, _) = ServiceToken::new(asked, &entropy(), at(0)).expect("a token");
    let scopes = |texts: &[&str]| -> Vec<Scope> { texts.iter().map(|text| text.parse().expect("a scope")).collect() };
    let governs = |held: &[&str], apps: &[AppId]| {
        token.governs(Rights { scopes: &scopes(held), apps, workspaces: &[] }, at(1)).is_ok()
    };
    assert!(governs(&[Scope::REVOKE], std::slice::from_ref(&one)));
    assert!(!governs(&[Scope::REVOKE], &[]), "of all apps");
    assert!(!governs(&[Scope::REVOKE], &[one.clone(), other]));
    assert!(!governs(&[Scope::APPS_READ], &[one]));
}

fn workspace(text: &str) -> WorkspaceId {
    text.parse().expect("id")
}

#[test]
fn one_of_workspaces_is_for_their_apps_and_their_service_tokens_alone() {
    let (one, other) = (workspace("one"), workspace("other"));
    let rights = [Scope::TOKENS_WRITE, Scope::CHATKIT_SESSION, Scope::APPS_WRITE];
    let asked = NewServiceToken { workspaces: vec![other.clone(), one.clone(), one.clone()], ..asked(&rights) };
    let (token, _) = ServiceToken::new(asked, &entropy(), at(0)).expect("a token");
    assert_eq!(token.workspaces, [one.clone(), other.clone()], "in order, each once");
    assert!(token.enters(Some(&one)).is_ok() && token.enters(Some(&other)).is_ok());
    for workspace in [None, Some(workspace("third"))] {
        let refused = token.enters(workspace.as_ref()).expect_err("it is not one of its own");
        assert_eq!(refused.code, Code::WorkspaceForbidden, "{workspace:?}");
    }
    assert_eq!(code(&token, Scope::CHATKIT_SESSION, None, 1), None);
    assert_eq!(code(&token, Scope::APPS_WRITE, None, 1), Some(Code::WorkspaceForbidden), "apps are of all");
    let scopes = ["chatkit:session".parse().expect("a scope")];
    let governs =
        |workspaces: &[WorkspaceId]| token.governs(Rights { scopes: &scopes, apps: &[], workspaces }, at(1)).is_ok();
    assert!(governs(std::slice::from_ref(&one)) && governs(&[one.clone(), other]));
    assert!(!governs(&[]) && !governs(&[one, workspace("third")]));
    let of_all = ServiceToken { workspaces: Vec::new(), ..token };
    assert!(of_all.enters(None).is_ok() && of_all.enters(Some(&workspace("third"))).is_ok());
}

#[test]
fn what_cannot_be_held_to_workspaces_is_refused_with_them() {
    let check = |scopes: &[&str], workspaces: usize| {
        let workspaces = (0..workspaces).map(|index| workspace(&index.to_string())).collect();
        NewServiceToken { workspaces, ..asked(scopes) }.check().is_ok()
    };
    assert!(check(&[Scope::REVOKE], 0) && check(&Scope::OF_WORKSPACES, 32));
    assert!(!check(&[Scope::CHATKIT_SESSION, Scope::REVOKE], 1));
    assert!(!check(&[Scope::CHATKIT_SESSION], 33) && !check(&[], 0));
}

#[test]
fn a_rotation_keeps_the_old_secret_for_its_overlap() {
    let entropy = entropy();
    let (mut token, first) = ServiceToken::new(asked(&[Scope::REVOKE]), &entropy, at(0)).expect("a token");
    let second = token.rotate(Duration::from_secs(10), None, &entropy, at(20)).expect("a secret");
    let (first, second) = (SecretDigest::of(&first), SecretDigest::of(&second));
    assert_eq!(token.digests(at(29)).collect::<Vec<_>>(), [&second, &first]);
    assert_eq!(token.digests(at(30)).collect::<Vec<_>>(), [&second]);
    token.rotate(Duration::ZERO, None, &entropy, at(21)).expect("a secret");
    assert!(token.digests(at(21)).all(|digest| *digest != second && *digest != first), "no overlap");
}

#[test]
fn it_reads_what_it_writes_and_nothing_of_its_secret_is_in_it() {
    let (token, secret) = ServiceToken::new(asked(&[Scope::REVOKE]), &entropy(), at(0)).expect("a token");
    let document = serde_json::to_string(&token).expect("JSON");
    assert!(!document.contains(secret.expose_secret()));
    assert_eq!(serde_json::from_str::<ServiceToken>(&document).expect("read"), token);
    assert!("admin:everything".parse::<Scope>().is_err());
}
