package web

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// verbs are the places of a reason at which values stand, as in the call that made it.
var verbs = regexp.MustCompile(`%[a-z]`)

// reason returns why a field is refused in a language: the text is one that a format of the table has made, or one of cron expressions, which
// also says where. Anything else stays as it is.
func reason(language, text string) string {
	if language != chinese {
		return text
	}
	if m := cronReason.FindStringSubmatch(text); m != nil {
		where := "第 " + m[3] + " 列"
		if field, ok := cronFields[m[2]]; ok {
			where = field + "，" + where
		}
		return "cron 表达式 " + m[1] + "，" + where + "：" + reason(language, m[4])
	}
	if t, ok := reasons[text]; ok {
		return t
	}
	for _, p := range reasonPatterns {
		if values := p.made.FindStringSubmatch(text); values != nil {
			at := 0
			return verbs.ReplaceAllStringFunc(p.translated, func(string) string { at++; return values[at] })
		}
	}
	return text
}

// faultsIn translates the reasons of a form.
func faultsIn(language string, faults map[string]string) map[string]string {
	translated := make(map[string]string, len(faults))
	for field, text := range faults {
		translated[field] = reason(language, text)
	}
	return translated
}

var (
	cronReason = regexp.MustCompile(`(?s)^cron expression (".*?"): (?:([a-z ]+), )?column (\d+): (.*)$`)
	cronFields = map[string]string{
		"second": "秒", "minute": "分钟", "hour": "小时", "day of month": "日", "month": "月", "day of week": "星期", "year": "年", "time zone": "时区",
	}
)

type reasonPattern struct {
	made       *regexp.Regexp
	translated string
}

var reasonPatterns = func() []reasonPattern {
	var all []reasonPattern
	// The longest first: it says most.
	formats := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for _, format := range formats {
		translated := reasons[format]
		parts := verbs.Split(format, -1)
		if len(parts) == 1 || strings.TrimSpace(strings.Join(parts, "")) == "" {
			continue
		}
		for i, part := range parts {
			parts[i] = regexp.QuoteMeta(part)
		}
		all = append(all, reasonPattern{regexp.MustCompile(`(?s)^` + strings.Join(parts, `(.*?)`) + `$`), translated})
	}
	return all
}()

// reasons has every reason that a form can show, by the format that makes it. Values stand in the same order.
var reasons = map[string]string{
	// of llmcron
	"is needed": "必填", "is needed as HH:MM": "必填，格式为 HH:MM", "is needed, for example 0 9 * * 1-5": "必填，例如 0 9 * * 1-5",
	"is needed, for example https://api.openai.com/v1": "必填，例如 https://api.openai.com/v1",
	"is needed: interval, fixed_time or cron":          "必填：interval、fixed_time 或 cron",
	"is %d bytes long, at most %d are allowed":         "长度为 %d 字节，最多允许 %d 字节",
	"is not a number":                                                    "不是数字",
	"is not a whole number":                                              "不是整数",
	"%q is none of chat and responses":                                   "%q 不是 chat 或 responses",
	"%q is none of interval, fixed_time and cron":                        "%q 不是 interval、fixed_time 或 cron",
	"%q is not a time between 00:00 and 23:59":                           "%q 不是 00:00 到 23:59 之间的时间",
	"%q is not a zone of the tz database such as Europe/Berlin":          "%q 不是时区数据库中的时区，例如 Asia/Shanghai",
	"%q is there twice":                                                  "%q 出现了两次",
	"cannot go together with interval_minutes":                           "不能与 interval_minutes 同时使用",
	"must be at most 1000 printable ASCII characters without spaces":     "最多 1000 个可打印的 ASCII 字符，不能含空格",
	"must be between 0 and %d":                                           "必须在 0 到 %d 之间",
	"must be between 1 minute and a year":                                "必须在 1 分钟到一年之间",
	"must be between 1 second and a year":                                "必须在 1 秒到一年之间",
	"must be letters, digits and - _ . and begin with a letter or digit": "只能是字母、数字和 - _ .，并以字母或数字开头",
	"must be zero or more":                                               "不能小于零",
	"needs a price of prompt or completion tokens":                       "需要输入或输出 token 的价格",
	"needs stream":                     "需要启用流式输出",
	"there is no variable %s; have %s": "没有变量 %s；可用的有 %s",

	// of the request to an endpoint
	"%d is negative":                                             "%d 是负数",
	"%q is none of chat, responses":                              "%q 不是 chat 或 responses",
	"%q is none of system, developer, user, assistant":           "%q 不是 system、developer、user 或 assistant",
	"%q is none of text, json_object, json_schema":               "%q 不是 text、json_object 或 json_schema",
	"%s is not among the allowed hosts":                          "%s 不在允许的主机之列",
	"%v is not between %v and %v":                                "%v 不在 %v 到 %v 之间",
	"%v is not between 0 and 86400":                              "%v 不在 0 到 86400 之间",
	"a json_schema goes with the type json_schema":               "json_schema 只能与类型 json_schema 一起使用",
	"at most %d bytes without control characters":                "最多 %d 字节，不能含控制字符",
	"cannot be set here":                                         "不能在这里设置",
	"give either prompt or messages, not both":                   "prompt 与 messages 只能给一个",
	"give either this or max_tokens, not both":                   "此项与 max_tokens 只能给一个",
	"has a host of more than %d bytes":                           "主机名超过 %d 字节",
	"has a host with a colon: write an IPv6 address in brackets": "主机名含冒号：IPv6 地址请写在方括号内",
	"has a path that cannot be read":                             "路径无法识别",
	"has a port that is not between 1 and 65535":                 "端口不在 1 到 65535 之间",
	"has a query that cannot be read":                            "查询参数无法识别",
	"has characters in its host that no host has":                "主机名含有不允许的字符",
	"has no host":                         "缺少主机名",
	"is empty":                            "为空",
	"is empty: give a prompt or messages": "为空：请填写消息",
	"is longer than %d bytes":             "超过 %d 字节",
	"is not JSON":                         "不是 JSON",
	"is not a URL":                        "不是网址",
	"is not known to the Responses API":   "Responses 接口不支持此项",
	"is required":                         "必填",
	"must be an object with a name and an object called schema":                          "必须是含有名称和 schema 对象的对象",
	"must begin with https:// or http://":                                                "必须以 https:// 或 http:// 开头",
	"must not hold a fragment (#)":                                                       "不能含片段（#）",
	"must not hold a key in its query: use api_key_name":                                 "查询参数不能含密钥：请填在密钥一栏",
	"must not hold a user or password":                                                   "不能含用户名或密码",
	"names a key but the executor has no KeySource":                                      "指定了密钥，但执行器没有密钥来源",
	"the executor's own %v":                                                              "执行器自己的地址：%v",
	"reasoning effort is not supported by this model":                                    "此模型不支持推理强度",
	"temperature, top_p and log probabilities must be omitted when reasoning is enabled": "启用推理时不能设置 temperature、top_p 和对数概率",
	"this model has beta-limitations, logprobs not supported":                            "此模型不支持对数概率",
	"this model has beta-limitations, temperature, top_p and n are fixed at 1, while presence_penalty and frequency_penalty are fixed at 0": "此模型的 temperature、top_p 和 n 固定为 1，presence_penalty 和 frequency_penalty 固定为 0",
	"tool calling with this model and reasoning effort requires the Responses API":                                                          "此模型在该推理强度下调用工具需要 Responses 接口",

	// of cron expressions
	"%d lies before %d; years do not wrap around":                                                                                     "%d 早于 %d；年份不能回绕",
	"%q is no duration; a positive one such as 90s or 1h30m is allowed":                                                               "%q 不是时长；可以是 90s 或 1h30m 这样的正数",
	"%q is no number of days before the last; allowed behind L- are 1-30":                                                             "%q 不是最后一天之前的天数；L- 之后可以是 1-30",
	"%q is no place in a month; allowed behind # are 1-5":                                                                             "%q 不是月内的序号；# 之后可以是 1-5",
	"%q is no step; allowed are 1-%d, the number of %s":                                                                               "%q 不是步长；可以是 1-%d，即 %s 的数目",
	"%q is not allowed; allowed are %s":                                                                                               "%q 不允许；可以是 %s",
	"%q is not known; a name of the tz database such as Europe/Berlin is allowed (a program that imports time/tzdata knows them all)": "%q 未知；可以是时区数据库中的名称，例如 Asia/Shanghai",
	"%q is not known; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually":                               "%q 未知；可以是 @hourly、@daily、@midnight、@weekly、@monthly、@yearly 和 @annually",
	"%q takes no step":                                  "%q 不能带步长",
	"%s is out of range; allowed are %s":                "%s 超出范围；可以是 %s",
	"? stands in the two day fields only; write * here": "? 只能用在两个日期字段；这里请写 *",
	"@every is an interval and not a cron expression, which means times of day; make an interval schedule of it": "@every 是间隔，不是 cron 表达式；请改用间隔计划",
	"H is not for years; allowed are %s":                                       "H 不能用于年份；可以是 %s",
	"L needs a weekday before it, such as 5L for the last Friday of the month": "L 之前需要星期，例如 5L 表示当月最后一个星期五",
	"a range such as H(%d-%d) is allowed behind H":                             "H 之后可以是 H(%d-%d) 这样的范围",
	"a value is missing; allowed are %s":                                       "缺少值；可以是 %s",
	"a zone of the tz database such as Europe/Berlin is allowed behind %s=":    "时区数据库中的时区（例如 Asia/Shanghai）可以写在 %s= 之后",
	"an interval has no time zone; leave it out":                               "间隔没有时区；请去掉",
	"it has %d fields; allowed are 5 (minute, hour, day of month, month, day of week), 6 (with the second before them) and 7 (also with the year behind them)": "有 %d 个字段；可以是 5 个（分钟、小时、日、月、星期）、6 个（前面加秒）或 7 个（后面再加年）",
	"it never matches for some keys: H can choose so that no date has this day, month, weekday and year":                                                       "对某些键永远不会匹配：H 选出的日、月、星期和年可能没有对应的日期",
	"it never matches: no date in the years %d-%d has this day, month, weekday and year":                                                                       "永远不会匹配：在 %d-%d 年间没有这样的日、月、星期和年",
	"it never matches: on the dates that it names, the clocks in %v jump over its times":                                                                       "永远不会匹配：在这些日期，%v 的时钟跳过了这些时间",
	"one duration such as 1h30m is allowed behind @every":                                                                                                      "@every 之后可以是一个时长，例如 1h30m",
	"the range behind H ends with )":                                       "H 之后的范围以 ) 结束",
	"the text has %d bytes; %d are allowed":                                "文本有 %d 字节；最多允许 %d",
	"the text is not valid UTF-8":                                          "文本不是有效的 UTF-8",
	"unexpected %q; elements are separated by commas and fields by spaces": "意外的 %q；元素用逗号分隔，字段用空格分隔",
	"unknown policy %v; allowed are FoldFirst, FoldSecond and FoldBoth":    "未知的策略 %v；可以是 FoldFirst、FoldSecond 和 FoldBoth",
	"unknown policy %v; allowed are GapAtTransition, GapSkip and GapShift": "未知的策略 %v；可以是 GapAtTransition、GapSkip 和 GapShift",

	// of the scheduler's own checks
	"has %d entries, at most %d are allowed":                    "有 %d 项，最多允许 %d 项",
	"interval %v is too short, at least %v is needed":           "间隔 %v 太短，至少需要 %v",
	"is missing; use Every, Daily, Cron, Once or ParseSchedule": "缺少计划",
	"is not valid JSON":                                  "不是有效的 JSON",
	"is not valid UTF-8":                                 "不是有效的 UTF-8",
	"key %q %s":                                          "键 %q：%s",
	"value of %q %s":                                     "%q 的值：%s",
	"must be between %d and %d":                          "必须在 %d 到 %d 之间",
	"must be between 0 and 1":                            "必须在 0 到 1 之间",
	"must be between 1 and 1000":                         "必须在 1 到 1000 之间",
	"must not be empty":                                  "不能为空",
	"must not be larger than a million":                  "不能大于一百万",
	"must not be longer than a hundred years":            "不能长于一百年",
	"must not be negative":                               "不能为负",
	"must not contain control characters":                "不能含控制字符",
	"text form cannot be read back: %v":                  "文本形式无法读回：%v",
	"text form is %d bytes long, at most %d are allowed": "文本形式长 %d 字节，最多允许 %d 字节",
	"unknown policy value %d, have %s":                   "未知的策略值 %d，可用的有 %s",
}
