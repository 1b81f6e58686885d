// Package vault seals API keys at rest with an authenticated cipher.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// KeySize is the length of a secret key in bytes.
const KeySize = 32

// Vault seals and opens short secrets with AES-256-GCM. A sealed secret is bound to its owner and opens for no other.
type Vault struct{ aead cipher.AEAD }

// New makes a vault from a secret key of KeySize bytes.
func New(key []byte) (*Vault, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the secret key has %d bytes, %d are needed", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Vault{aead}, nil
}

// Open makes a vault from the base64 text of a secret key or, when it is empty, from a key file, which is made with mode 0600 when it
// is not there. No error shows the key.
func Open(secret, file string) (*Vault, error) {
	if secret != "" {
		key, err := decodeKey(secret)
		if err != nil {
			return nil, err
		}
		return New(key)
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return create(file)
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	key, err := decodeKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", file, err)
	}
	return New(key)
}

func decodeKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != KeySize {
		return nil, fmt.Errorf("the secret key is not %d bytes in base64", KeySize)
	}
	return key, nil
}

func create(file string) (*Vault, error) {
	key := make([]byte, KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return New(key)
}

// Seal encrypts a secret for an owner.
func (v *Vault) Seal(owner, secret string) (string, error) {
	nonce := make([]byte, v.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(v.aead.Seal(nonce, nonce, []byte(secret), []byte(owner))), nil
}

// Unseal decrypts what Seal made for the same owner.
func (v *Vault) Unseal(owner, sealed string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < v.aead.NonceSize() {
		return "", errors.New("the stored API key is damaged; enter it again")
	}
	n := v.aead.NonceSize()
	secret, err := v.aead.Open(nil, raw[:n], raw[n:], []byte(owner))
	if err != nil {
		return "", errors.New("the stored API key does not open with this secret key; enter it again")
	}
	return string(secret), nil
}
