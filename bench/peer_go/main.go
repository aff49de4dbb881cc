// The import as one would write it in Go with the standard library: peer_go FILE.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
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
	if err != nil {
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

func parse(header, row []string) (contact, error) {
	var result contact
	for i, name := range header {
		value := row[i]
		if value == "" {
			continue
		}
		switch name {
		case "phone":
			result.Phone = value
		case "first":
			result.First = value
		case "last":
			result.Last = value
		case "display_name":
			result.DisplayName = value
		case "email":
			result.Email = value
		case "avatar":
			result.Avatar = value
		case "assignee_id":
			id, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return result, err
			}
			result.AssigneeID = &id
		case "tags":
			for _, part := range strings.Split(value, ";") {
				id, err := strconv.ParseInt(part, 10, 64)
				if err != nil {
					return result, err
				}
				result.Tags = append(result.Tags, tag{id})
			}
		case "is_opted_out":
			out := value == "true"
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
	return result, nil
}

func main() {
	log.SetFlags(0)
	file, err := os.Open(os.Args[1])
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
	for {
		row, err := reader.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		one, err := parse(header, row)
		if err != nil {
			log.Fatal(err)
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
