// The import as one would write it in Go with the standard library: peer_go [-dry] FILE.
// With -dry everything is read, checked and encoded, and nothing is sent.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	batchSize   = 100
	concurrency = 4
	tokenTTL    = 240 * time.Second
)

type tag struct {
	ID int64 `json:"tag_id"`
}

type contact struct {
	Phone       string            `json:"phone"`
	First       string            `json:"first,omitempty"`
	Last        string            `json:"last,omitempty"`
	DisplayName string            `json:"display_name,omitempty"`
	Email       string            `json:"email,omitempty"`
	Avatar      string            `json:"avatar,omitempty"`
	AssigneeID  *int64            `json:"assignee_id,omitempty"`
	Tags        []tag             `json:"tags,omitempty"`
	IsOptedOut  *bool             `json:"is_opted_out,omitempty"`
	Custom      map[string]string `json:"custom,omitempty"`
}

type client struct {
	http         *http.Client
	url, id, key string
	dry          bool
	mutex        sync.Mutex
	token        string
	renew        time.Time
}

func (c *client) bearer() (string, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	now := time.Now()
	if now.Before(c.renew) {
		return c.token, nil
	}
	claims, err := json.Marshal(struct {
		Issuer   string `json:"iss"`
		IssuedAt int64  `json:"iat"`
	}{c.id, now.Unix()})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(c.id+"||"+c.key))
	mac.Write([]byte(input))
	c.token, c.renew = input+"."+encode(mac.Sum(nil)), now.Add(tokenTTL)
	return c.token, nil
}

func (c *client) send(contacts []contact) error {
	body, err := json.Marshal(contacts)
	if err != nil || c.dry {
		return err
	}
	token, err := c.bearer()
	if err != nil {
		return err
	}
	request, err := http.NewRequest("POST", c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var word string
	if response.StatusCode != 200 {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	if err := json.Unmarshal(answer, &word); err != nil || word != "ok" {
		return fmt.Errorf("not all were created: %.200s", answer)
	}
	return nil
}

const maxTags = 5

// Digits of a phone number, without what people write between them.
func readPhone(value string) (string, error) {
	value = strings.TrimPrefix(value, "+")
	digits := make([]byte, 0, 15)
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		case c == ' ' || c == '-' || c == '(' || c == ')' || c == '/':
		case c == '.' && i != len(value)-2: // not "12025550123.0", a number of a spreadsheet
		default:
			return "", fmt.Errorf("%q is no phone number", value)
		}
	}
	if len(digits) < 7 || len(digits) > 15 {
		return "", fmt.Errorf("a phone number has 7 to 15 digits, not %d", len(digits))
	}
	return string(digits), nil
}

func checkText(value string) error {
	if !utf8.ValidString(value) {
		return errors.New("is not valid UTF-8")
	}
	for _, r := range value {
		if unicode.IsControl(r) {
			return fmt.Errorf("holds the control character %U", r)
		}
	}
	return nil
}

func checkEmail(value string) error {
	at := strings.IndexByte(value, '@')
	if at < 1 || at == len(value)-1 || at != strings.LastIndexByte(value, '@') || strings.ContainsAny(value, " ,;<>\"\\") {
		return fmt.Errorf("%q is no email address", value)
	}
	return nil
}

func checkURL(value string) error {
	if !strings.HasPrefix(value, "https://") && !strings.HasPrefix(value, "http://") || strings.ContainsRune(value, ' ') {
		return fmt.Errorf("%q is no URL", value)
	}
	return nil
}

func readTags(value string) ([]tag, error) {
	tags := make([]tag, 0, maxTags)
	for more := true; more; {
		var part string
		part, value, more = strings.Cut(value, ";")
		id, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return nil, err
		}
		if id < 1 || len(tags) == maxTags {
			return nil, errors.New("at most five tags, with ids above 0")
		}
		for _, other := range tags {
			if other.ID == id {
				return nil, fmt.Errorf("the tag %d is there twice", id)
			}
		}
		tags = append(tags, tag{id})
	}
	return tags, nil
}

func readBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true", "yes", "t", "y", "1":
		return true, nil
	case "false", "no", "f", "n", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", value)
}

func parse(header, row []string) (contact, error) {
	var result contact
	for i, name := range header {
		value := row[i]
		if value == "" {
			continue
		}
		err := checkText(value)
		if err == nil {
			switch name {
			case "phone":
				result.Phone, err = readPhone(value)
			case "first":
				result.First = value
			case "last":
				result.Last = value
			case "display_name":
				result.DisplayName = value
			case "email":
				result.Email, err = value, checkEmail(value)
			case "avatar":
				result.Avatar, err = value, checkURL(value)
			case "assignee_id":
				var id int64
				id, err = strconv.ParseInt(value, 10, 64)
				if err == nil && id < 1 && id != -1 {
					err = errors.New("must be above 0, or -1")
				}
				result.AssigneeID = &id
			case "tags":
				result.Tags, err = readTags(value)
			case "is_opted_out":
				var out bool
				out, err = readBool(value)
				result.IsOptedOut = &out
			default:
				if strings.HasPrefix(name, "custom.") {
					if result.Custom == nil {
						result.Custom = make(map[string]string)
					}
					result.Custom[strings.TrimPrefix(name, "custom.")] = value
				}
			}
		}
		if err != nil {
			return result, fmt.Errorf("%s: %w", name, err)
		}
	}
	if result.Phone == "" {
		return result, errors.New("phone is required")
	}
	return result, nil
}

func main() {
	log.SetFlags(0)
	dry := flag.Bool("dry", false, "send nothing")
	flag.Parse()
	file, err := os.Open(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()

	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = concurrency
	c := &client{
		http: &http.Client{Transport: transport, Timeout: time.Minute},
		url:  os.Getenv("HEYMARKET_BASE_URL") + "/v1/batch/contacts",
		id:   os.Getenv("HEYMARKET_SECRET_ID"),
		key:  os.Getenv("HEYMARKET_SECRET_KEY"),
		dry:  *dry,
	}

	var sent int64
	var workers sync.WaitGroup
	batches := make(chan []contact)
	for i := 0; i < concurrency; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for batch := range batches {
				if err := c.send(batch); err != nil {
					log.Fatal(err)
				}
				atomic.AddInt64(&sent, int64(len(batch)))
			}
		}()
	}

	reader := csv.NewReader(file)
	header, err := reader.Read()
	if err != nil {
		log.Fatal(err)
	}
	reader.ReuseRecord = true
	header = append([]string(nil), header...)
	batch := make([]contact, 0, batchSize)
	for position := 2; ; position++ { // the header is row 1
		row, err := reader.Read()
		if err == io.EOF {
			break
		}
		var malformed *csv.ParseError
		if err != nil && !errors.As(err, &malformed) {
			log.Fatal(err)
		}
		var one contact
		if err == nil {
			one, err = parse(header, row)
		}
		if err != nil {
			log.Printf("row %d: %v", position, err)
			continue
		}
		if batch = append(batch, one); len(batch) == batchSize {
			batches <- batch
			batch = make([]contact, 0, batchSize)
		}
	}
	if len(batch) > 0 {
		batches <- batch
	}
	close(batches)
	workers.Wait()
	fmt.Println(sent, "contacts sent")
}
