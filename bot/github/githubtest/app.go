package githubtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// App is the GitHub App that is installed on the repository.
type App struct {
	ID, Installation int64
	Slug             string // its login is Slug[bot]
	Key              []byte // PEM, PKCS #8

	public *rsa.PublicKey
}

func newApp(t testing.TB) App {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return App{
		ID: 4711, Installation: 815, Slug: "mergebot", public: &key.PublicKey,
		Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}
}

// verify looks at the app's JWT as GitHub does. The emulator cannot: it verifies with the private key, which its library
// refuses.
func (a App) verify(token string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	sign, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(a.public, crypto.SHA256, sum[:], sign) != nil {
		return false
	}
	var claims struct {
		Issuer  any   `json:"iss"`
		Issued  int64 `json:"iat"`
		Expires int64 `json:"exp"`
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &claims) != nil {
		return false
	}
	// Ten minutes at most, and nothing of the future.
	return fmt.Sprint(claims.Issuer) == fmt.Sprint(a.ID) && claims.Issued <= now.Unix() &&
		claims.Expires > now.Unix() && claims.Expires <= now.Add(10*time.Minute).Unix()
}

var permissions = object{"checks": "write", "contents": "read", "issues": "write", "metadata": "read", "pull_requests": "write", "members": "read"}

var subscribed = []string{"pull_request", "push", "issue_comment", "check_run", "check_suite"}

// itself lets the app through, and nobody else.
func (s *Server) itself(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !callerOf(r).itself {
			refuse(w, http.StatusUnauthorized, "A JSON web token could not be decoded")
			return
		}
		h(w, r)
	}
}

// app answers GET /app.
func (s *Server) app(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, s.appJSON())
}

func (s *Server) appJSON() object {
	page := s.URL + "/apps/" + s.App.Slug
	return object{
		"id": s.App.ID, "slug": s.App.Slug, "node_id": "A_1", "client_id": "Iv1.0123456789abcdef", "name": "mergebot",
		"owner": s.someUser(s.Owner, "Organization", 1), "description": nil, "external_url": page, "html_url": page,
		"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
		"permissions": permissions, "events": subscribed, "installations_count": 1,
	}
}

// installationToken answers POST /app/installations/{id}/access_tokens. What is done with the token is done by the bot,
// where the emulator has it done by the account that the app is installed for.
func (s *Server) installationToken(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("id") != fmt.Sprint(s.App.Installation) {
		notFound(w)
		return
	}
	var b [20]byte
	_, _ = rand.Read(b[:])
	token, expires := fmt.Sprintf("ghs_%x", b), time.Now().Add(time.Hour)
	s.mu.Lock()
	s.tokens[token] = caller{login: s.Bot(), app: true, expires: expires}
	s.mu.Unlock()
	reply(w, http.StatusCreated, object{
		"token": token, "expires_at": expires.UTC().Format(time.RFC3339), "permissions": permissions, "repository_selection": "all",
	})
}

// completeInstallation names whose app it is.
func (s *Server) completeInstallation(v object) {
	fill(v, object{"target_id": 1})
	if a, ok := v["account"].(object); ok {
		fill(a, s.someUser(fmt.Sprint(a["login"]), fmt.Sprint(a["type"]), number(a["id"])))
	}
}
